// SPDX-License-Identifier: Apache-2.0

package main

import (
	"text/template"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// mendEvents drops formats of messages that the event manager could not read.
func (w *world) mendEvents() {
	info := simulator.Map.EventManager().Description.EventInfo
	for i := range info {
		if _, err := template.New("").Parse(info[i].FullFormat); err != nil {
			info[i].FullFormat = ""
		}
	}
}

// post enters an event into the event manager's list.
func (w *world) post(c *call, event types.BaseEvent) {
	ctx := c.context()
	simulator.Map.EventManager().PostEvent(ctx, &types.PostEvent{EventToPost: event})
}

func (w *world) vmEvent(vm *simulator.VirtualMachine) types.VmEvent {
	h := w.host(*vm.Runtime.Host)
	argument := w.hostArgument(h)
	event := types.VmEvent{Event: types.Event{
		Host: &argument,
		Vm:   &types.VmEventArgument{EntityEventArgument: types.EntityEventArgument{Name: vm.Name}, Vm: vm.Self},
	}}
	if dc := w.datacenterOf(h); dc != nil {
		event.Datacenter = &types.DatacenterEventArgument{EntityEventArgument: types.EntityEventArgument{Name: dc.Name}, Datacenter: dc.Self}
	}
	if cr := w.computeResource(*h.Parent); cr != nil {
		event.ComputeResource = &types.ComputeResourceEventArgument{EntityEventArgument: types.EntityEventArgument{Name: cr.Name}, ComputeResource: cr.Self}
	}
	return event
}

func (w *world) hostArgument(h *simulator.HostSystem) types.HostEventArgument {
	return types.HostEventArgument{EntityEventArgument: types.EntityEventArgument{Name: h.Name}, Host: h.Self}
}
