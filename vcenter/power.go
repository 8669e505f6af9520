// SPDX-License-Identifier: Apache-2.0

package main

import (
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

const (
	poweredOn  = types.VirtualMachinePowerStatePoweredOn
	poweredOff = types.VirtualMachinePowerStatePoweredOff
	suspended  = types.VirtualMachinePowerStateSuspended
)

// running says whether the VM's frames flow: it is on, and its host is alive.
func (w *world) running(vm *simulator.VirtualMachine) bool {
	return vm.Runtime.PowerState == poweredOn && !w.hosts.dead[*vm.Runtime.Host]
}

// setPower changes the state, the NICs' connections and what the tools say.
func (w *world) setPower(vm *simulator.VirtualMachine, state types.VirtualMachinePowerState) {
	vm.Runtime.PowerState = state
	tools := "guestToolsNotRunning"
	vm.Runtime.BootTime = nil
	vm.Guest.GuestState = "notRunning"
	if state == poweredOn {
		now := time.Now().UTC()
		vm.Runtime.BootTime, vm.Guest.GuestState, tools = &now, "running", w.settings.Tools
	}
	for i, card := range cards(vm) {
		nic := card.GetVirtualEthernetCard()
		if nic.Connectable != nil {
			nic.Connectable.Connected = state == poweredOn && nic.Connectable.StartConnected
			nic.Connectable.Status = map[bool]string{true: "ok", false: "untried"}[nic.Connectable.Connected]
		}
		w.ephemeral(vm, card, int32(i), state == poweredOn)
		if p := w.portOf(card); p != nil {
			w.touchPort(p)
		}
	}
	w.setTools(vm, tools)
}

// ephemeral ports live as long as the VM runs.
func (w *world) ephemeral(vm *simulator.VirtualMachine, card types.BaseVirtualEthernetCard, index int32, on bool) {
	b, ok := card.GetVirtualEthernetCard().Backing.(*types.VirtualEthernetCardDistributedVirtualPortBackingInfo)
	if !ok {
		return
	}
	pg := w.portgroup(b.Port.PortgroupKey)
	if pg == nil || pg.Config.Type != "ephemeral" {
		return
	}
	if on {
		_ = w.connect(vm, card, index)
		return
	}
	w.disconnect(card)
	b.Port.PortKey, b.Port.ConnectionCookie = "", 0
}

// setTools sets what the guest's tools say; "guestToolsRunning" means that the guest can be asked.
func (w *world) setTools(vm *simulator.VirtualMachine, running string) {
	vm.Guest.ToolsRunningStatus = running
	vm.Guest.ToolsStatus = types.VirtualMachineToolsStatusToolsNotRunning
	if running == "guestToolsRunning" {
		vm.Guest.ToolsStatus = types.VirtualMachineToolsStatusToolsOk
	}
	w.summarise(vm)
}

func (w *world) powerOn(c *call, vm *simulator.VirtualMachine) vimFault {
	if vm.Config.Template {
		return &types.InvalidState{}
	}
	if vm.Runtime.PowerState == poweredOn {
		return &types.InvalidPowerState{RequestedState: poweredOn, ExistingState: poweredOn}
	}
	if fault := w.usable(w.host(*vm.Runtime.Host)); fault != nil {
		return fault
	}
	w.post(c, &types.VmStartingEvent{VmEvent: w.vmEvent(vm)})
	w.setPower(vm, poweredOn)
	w.post(c, &types.VmPoweredOnEvent{VmEvent: w.vmEvent(vm)})
	return nil
}

func (w *world) powerOff(c *call, vm *simulator.VirtualMachine) vimFault {
	if vm.Runtime.PowerState == poweredOff {
		return &types.InvalidPowerState{RequestedState: poweredOff, ExistingState: poweredOff}
	}
	if w.moves.running[vm.Self] != nil {
		return &types.TaskInProgress{Task: w.moves.running[vm.Self].op.task.Self}
	}
	if h := w.host(*vm.Runtime.Host); h.Runtime.ConnectionState != types.HostSystemConnectionStateConnected {
		return &types.HostNotConnected{}
	}
	w.setPower(vm, poweredOff)
	w.post(c, &types.VmPoweredOffEvent{VmEvent: w.vmEvent(vm)})
	return nil
}

func powerMethods(t *table) {
	power := func(c *call, method, description string, change func(*call, *simulator.VirtualMachine) vimFault) (ref, vimFault) {
		vm := c.w.vm(c.this)
		if vm == nil {
			return ref{}, &types.ManagedObjectNotFound{Obj: c.this}
		}
		return c.w.do(c, c.this, method, description, func() (types.AnyType, vimFault) { return nil, change(c, vm) }), nil
	}
	on(t, "PowerOnVM_Task", func(c *call, _ *types.PowerOnVM_Task) (*types.PowerOnVM_TaskResponse, vimFault) {
		task, fault := power(c, "PowerOnVM_Task", "VirtualMachine.powerOn", c.w.powerOn)
		return &types.PowerOnVM_TaskResponse{Returnval: task}, fault
	})
	on(t, "PowerOffVM_Task", func(c *call, _ *types.PowerOffVM_Task) (*types.PowerOffVM_TaskResponse, vimFault) {
		task, fault := power(c, "PowerOffVM_Task", "VirtualMachine.powerOff", c.w.powerOff)
		return &types.PowerOffVM_TaskResponse{Returnval: task}, fault
	})
	on(t, "ResetVM_Task", func(c *call, _ *types.ResetVM_Task) (*types.ResetVM_TaskResponse, vimFault) {
		task, fault := power(c, "ResetVM_Task", "VirtualMachine.reset", func(c *call, vm *simulator.VirtualMachine) vimFault {
			if vm.Runtime.PowerState != poweredOn {
				return &types.InvalidPowerState{RequestedState: poweredOn, ExistingState: vm.Runtime.PowerState}
			}
			c.w.setPower(vm, poweredOn)
			c.w.post(c, &types.VmResettingEvent{VmEvent: c.w.vmEvent(vm)})
			return nil
		})
		return &types.ResetVM_TaskResponse{Returnval: task}, fault
	})
	on(t, "SuspendVM_Task", func(c *call, _ *types.SuspendVM_Task) (*types.SuspendVM_TaskResponse, vimFault) {
		task, fault := power(c, "SuspendVM_Task", "VirtualMachine.suspend", func(c *call, vm *simulator.VirtualMachine) vimFault {
			if vm.Runtime.PowerState != poweredOn {
				return &types.InvalidPowerState{RequestedState: suspended, ExistingState: vm.Runtime.PowerState}
			}
			c.w.setPower(vm, suspended)
			return nil
		})
		return &types.SuspendVM_TaskResponse{Returnval: task}, fault
	})
	on(t, "ShutdownGuest", func(c *call, _ *types.ShutdownGuest) (*types.ShutdownGuestResponse, vimFault) {
		vm := c.w.vm(c.this)
		if vm.Guest.ToolsRunningStatus != "guestToolsRunning" {
			return nil, &types.ToolsUnavailable{}
		}
		return &types.ShutdownGuestResponse{}, c.w.powerOff(c, vm)
	})
	on(t, "PowerOnMultiVM_Task", func(c *call, req *types.PowerOnMultiVM_Task) (*types.PowerOnMultiVM_TaskResponse, vimFault) {
		task := c.w.do(c, c.this, "PowerOnMultiVM_Task", "Datacenter.powerOnVm", func() (types.AnyType, vimFault) {
			result := types.ClusterPowerOnVmResult{}
			for _, r := range req.Vm {
				vm := c.w.vm(r)
				if vm == nil {
					return nil, &types.ManagedObjectNotFound{Obj: r}
				}
				if fault := c.w.powerOn(c, vm); fault != nil {
					result.NotAttempted = append(result.NotAttempted, types.ClusterNotAttemptedVmInfo{
						Vm: r, Fault: types.LocalizedMethodFault{Fault: fault, LocalizedMessage: message(fault)}})
				}
			}
			return result, nil
		})
		return &types.PowerOnMultiVM_TaskResponse{Returnval: task}, nil
	})
}
