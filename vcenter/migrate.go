// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// moves are the migrations under way, and the orders about them.
type moves struct {
	running map[ref]*move // by VM
	orders  []*moveOrder
	cancels map[ref]*operation // by task: what CancelTask may end
}

// moveOrder makes migrations fail at their end, or hang. VM "" means any.
type moveOrder struct {
	VM    string `json:"vm"`
	Do    string `json:"do"` // "fail" or "hang"
	Fault string `json:"fault,omitempty"`
	Count int    `json:"count"`
}

// move is one VM on its way to another host.
type move struct {
	op       *operation
	vm       *simulator.VirtualMachine
	to       *simulator.HostSystem
	changes  []types.BaseVirtualDeviceConfigSpec
	pool     *ref
	deadline time.Time
	order    *moveOrder
	drs      bool
	proceed  chan struct{} // ends a hang
}

func newMoves() *moves { return &moves{running: map[ref]*move{}, cancels: map[ref]*operation{}} }

// take uses up one count of the first order for the VM.
func (m *moves) take(vm string) *moveOrder {
	for _, o := range m.orders {
		if (o.VM == "" || o.VM == vm) && o.Count != 0 {
			if o.Count > 0 {
				o.Count--
			}
			return o
		}
	}
	return nil
}

// migrate starts a move and returns its task, which runs on. What vCenter checks beforehand fails the task at once.
func (w *world) migrate(c *call, vm *simulator.VirtualMachine, m *move, method, description string) ref {
	m.vm, m.proceed = vm, make(chan struct{})
	m.op = w.start(c, vm.Self, method, description)
	m.op.task.Info.Cancelable = true
	if c.reason != nil {
		m.op.task.Info.Reason = c.reason
	}
	fault := w.faults.inTask(c)
	if fault == nil {
		fault = w.checkMove(m)
	}
	if fault != nil {
		w.failMove(c, m, fault)
		return m.op.task.Self
	}
	if m.to.Self == *vm.Runtime.Host {
		m.op.finish(nil, w.applyMove(m))
		return m.op.task.Self
	}
	w.moves.running[vm.Self] = m
	w.post(c, &types.VmBeingMigratedEvent{VmEvent: w.vmEvent(vm), DestHost: w.hostArgument(m.to)})
	w.touch(vm.Self)
	m.order = w.moves.take(vm.Name)
	seconds := 0.0
	if vm.Runtime.PowerState == poweredOn {
		seconds = w.settings.VMotionSeconds
	}
	go w.carryOut(c, m, time.Duration(seconds*float64(time.Second)))
	return m.op.task.Self
}

// carryOut waits as long as the move takes, and switches over.
func (w *world) carryOut(c *call, m *move, duration time.Duration) {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	var fault vimFault
	select {
	case <-timer.C:
	case <-m.op.cancel:
		fault = &types.RequestCanceled{}
	}
	if fault == nil && m.order != nil && m.order.Do == "hang" {
		select {
		case <-m.proceed:
		case <-m.op.cancel:
			fault = &types.RequestCanceled{}
		}
	}
	w.lock()
	defer w.unlock()
	delete(w.moves.running, m.vm.Self)
	if fault == nil && m.order != nil && m.order.Do == "fail" {
		fault, _ = newFault(m.order.Fault, m.vm.Self)
	}
	if fault == nil {
		fault = w.checkMove(m) // the world may have changed meanwhile
	}
	if fault != nil {
		w.failMove(c, m, fault)
		return
	}
	source := w.host(*m.vm.Runtime.Host)
	if fault = w.applyMove(m); fault != nil {
		w.failMove(c, m, fault)
		return
	}
	event := types.VmMigratedEvent{VmEvent: w.vmEvent(m.vm), SourceHost: w.hostArgument(source)}
	if m.drs {
		w.post(c, &types.DrsVmMigratedEvent{VmMigratedEvent: event})
	} else {
		w.post(c, &event)
	}
	m.op.finish(nil, nil)
}

func (w *world) failMove(c *call, m *move, fault vimFault) {
	event := &types.VmFailedMigrateEvent{VmEvent: w.vmEvent(m.vm),
		Reason: types.LocalizedMethodFault{Fault: fault, LocalizedMessage: message(fault)}}
	if m.to != nil {
		event.DestHost = w.hostArgument(m.to)
	}
	w.post(c, event)
	m.op.finish(nil, fault)
	w.touch(m.vm.Self)
}

// applyMove is the switchover: the VM and its ports are on the other host, with the backings asked for.
func (w *world) applyMove(m *move) vimFault {
	from := m.vm.Runtime.Host
	m.vm.Runtime.Host = &m.to.Self
	for i, change := range m.changes {
		if fault := w.changeDevice(m.vm, change.GetVirtualDeviceConfigSpec(), int32(i)); fault != nil {
			m.vm.Runtime.Host = from
			return fault
		}
	}
	for _, card := range cards(m.vm) {
		if p := w.portOf(card); p != nil {
			p.host = &m.to.Self
			w.touchPort(p)
		}
		if b, ok := card.GetVirtualEthernetCard().Backing.(*types.VirtualEthernetCardNetworkBackingInfo); ok {
			if n := w.standardNetwork(w.datacenterOf(m.to), b.DeviceName); n != nil {
				b.Network = &n.Self
			}
		}
	}
	if m.pool != nil {
		m.vm.ResourcePool = m.pool
	} else if m.vm.ResourcePool != nil {
		if cr := w.computeResource(*m.to.Parent); cr.Self != w.get(*m.vm.ResourcePool).(*simulator.ResourcePool).Owner {
			m.vm.ResourcePool = cr.ResourcePool
		}
	}
	w.summarise(m.vm)
	w.changes.structure++
	return nil
}

// checkMove refuses what the real one refuses before or at the end of a migration.
func (w *world) checkMove(m *move) vimFault {
	if m.to == nil {
		return &types.NoCompatibleHost{}
	}
	if fault := w.usable(m.to); fault != nil {
		return fault
	}
	if h := w.host(*m.vm.Runtime.Host); h.Runtime.ConnectionState != types.HostSystemConnectionStateConnected {
		return &types.HostNotConnected{}
	}
	if running := w.moves.running[m.vm.Self]; running != nil && running != m {
		return &types.TaskInProgress{Task: running.op.task.Self}
	}
	if m.to.Self == *m.vm.Runtime.Host {
		return nil
	}
	for _, card := range cards(m.vm) {
		if fault := w.checkCard(m, card); fault != nil {
			return fault
		}
	}
	return nil
}

func (w *world) checkCard(m *move, card types.BaseVirtualEthernetCard) vimFault {
	nic := card.GetVirtualEthernetCard()
	connected := m.vm.Runtime.PowerState == poweredOn && nic.Connectable != nil && nic.Connectable.Connected
	if _, ok := card.(*types.VirtualSriovEthernetCard); ok && m.vm.Runtime.PowerState == poweredOn {
		return &types.VMotionProtocolIncompatible{}
	}
	backing := nic.Backing
	for _, change := range m.changes {
		if d := change.GetVirtualDeviceConfigSpec().Device.GetVirtualDevice(); d.Key == nic.Key && d.Backing != nil {
			backing = d.Backing
		}
	}
	problem := types.CannotAccessNetwork{CannotAccessVmDevice: types.CannotAccessVmDevice{
		Device: nic.DeviceInfo.GetDescription().Label, Connected: connected}, Network: networkOf(card)}
	switch b := backing.(type) {
	case *types.VirtualEthernetCardNetworkBackingInfo:
		problem.Backing = b.DeviceName
		if connected && backing == nic.Backing && !yes(w.allowIntranet()) && w.uplinkless(w.host(*m.vm.Runtime.Host), b.DeviceName) {
			return &types.VMOnVirtualIntranet{CannotAccessNetwork: problem}
		}
		if findPortGroup(m.to.Config.Network, b.DeviceName) == nil && (connected || backing != nic.Backing) {
			return &problem
		}
	case *types.VirtualEthernetCardDistributedVirtualPortBackingInfo:
		s := w.switches[b.Port.SwitchUuid]
		if s != nil {
			problem.Backing = s.Name
		}
		if s == nil || s.members[m.to.Self] == nil {
			return &problem
		}
	}
	return nil
}

// uplinkless says whether the host's standard port group leads nowhere but to the same host.
func (w *world) uplinkless(h *simulator.HostSystem, name string) bool {
	pg := findPortGroup(h.Config.Network, name)
	if pg == nil {
		return false
	}
	s := findSwitch(h.Config.Network, pg.Spec.VswitchName)
	return s != nil && len(uplinksOf(&s.Spec)) == 0
}

// allowIntranet reads vCenter's advanced setting that lets VMs of a virtual intranet move all the same.
func (w *world) allowIntranet() *bool {
	if w.inv.esxi() {
		return nil
	}
	for _, option := range simulator.Map.OptionManager().Setting {
		if v := option.GetOptionValue(); v.Key == "config.migrate.test.CompatibleNetworks.VMOnVirtualIntranet" {
			return types.NewBool(fmt.Sprint(v.Value) == "false")
		}
	}
	return nil
}

func (w *world) poolOf(r *ref) (*simulator.ResourcePool, bool) {
	if r == nil {
		return nil, false
	}
	pool, ok := w.get(*r).(*simulator.ResourcePool)
	return pool, ok
}

func migrationMethods(t *table) {
	on(t, "RelocateVM_Task", func(c *call, req *types.RelocateVM_Task) (*types.RelocateVM_TaskResponse, vimFault) {
		vm := c.w.vm(c.this)
		if vm == nil {
			return nil, &types.ManagedObjectNotFound{Obj: c.this}
		}
		if c.w.inv.esxi() {
			return nil, &types.NotSupported{}
		}
		m := &move{to: c.w.host(*vm.Runtime.Host), changes: req.Spec.DeviceChange, pool: req.Spec.Pool}
		if req.Spec.Host != nil {
			if m.to = c.w.host(*req.Spec.Host); m.to == nil {
				return nil, &types.ManagedObjectNotFound{Obj: *req.Spec.Host}
			}
		} else if pool, ok := c.w.poolOf(req.Spec.Pool); ok && pool.Owner != *m.to.Parent {
			to, fault := c.w.hostFor(nil, pool)
			if fault != nil {
				return nil, fault
			}
			m.to = to
		}
		if req.Spec.Datastore != nil {
			vm.Datastore = []ref{*req.Spec.Datastore}
		}
		return &types.RelocateVM_TaskResponse{Returnval: c.w.migrate(c, vm, m, "RelocateVM_Task", "VirtualMachine.relocate")}, nil
	})
	on(t, "MigrateVM_Task", func(c *call, req *types.MigrateVM_Task) (*types.MigrateVM_TaskResponse, vimFault) {
		vm := c.w.vm(c.this)
		if vm == nil {
			return nil, &types.ManagedObjectNotFound{Obj: c.this}
		}
		if req.State != "" && req.State != vm.Runtime.PowerState {
			return nil, &types.InvalidPowerState{RequestedState: req.State, ExistingState: vm.Runtime.PowerState}
		}
		m := &move{to: c.w.host(*vm.Runtime.Host), pool: req.Pool}
		if req.Host != nil {
			if m.to = c.w.host(*req.Host); m.to == nil {
				return nil, &types.ManagedObjectNotFound{Obj: *req.Host}
			}
		}
		return &types.MigrateVM_TaskResponse{Returnval: c.w.migrate(c, vm, m, "MigrateVM_Task", "VirtualMachine.migrate")}, nil
	})
}
