// SPDX-License-Identifier: Apache-2.0

package main

import (
	"reflect"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// cloneVM makes a copy of a VM or template with identifiers and addresses of its own.
func (w *world) cloneVM(c *call, source *simulator.VirtualMachine, req *types.CloneVM_Task) (types.AnyType, vimFault) {
	folder := w.folder(req.Folder)
	if folder == nil {
		return nil, &types.ManagedObjectNotFound{Obj: req.Folder}
	}
	if e := w.child(folder, req.Name); e != nil {
		return nil, &types.DuplicateName{Name: req.Name, Object: e.Reference()}
	}
	poolRef := req.Spec.Location.Pool
	if poolRef == nil {
		poolRef = source.ResourcePool
	}
	if poolRef == nil && req.Spec.Location.Host != nil {
		if h := w.host(*req.Spec.Location.Host); h != nil {
			poolRef = w.computeResource(*h.Parent).ResourcePool
		}
	}
	if poolRef == nil {
		return nil, &types.InvalidArgument{InvalidProperty: "spec.location.pool"}
	}
	pool, ok := w.get(*poolRef).(*simulator.ResourcePool)
	if !ok {
		return nil, &types.ManagedObjectNotFound{Obj: *poolRef}
	}
	h, fault := w.hostFor(req.Spec.Location.Host, pool)
	if fault != nil {
		return nil, fault
	}
	vm := w.newVM(folder, req.Name, h, &pool.Self)
	if fault := w.copyInto(vm, source, &req.Spec); fault != nil {
		w.deleteVM(vm)
		return nil, fault
	}
	w.post(c, &types.VmClonedEvent{VmCloneEvent: types.VmCloneEvent{VmEvent: w.vmEvent(vm)},
		SourceVm: types.VmEventArgument{EntityEventArgument: types.EntityEventArgument{Name: source.Name}, Vm: source.Self}})
	if req.Spec.Template {
		vm.Config.Template, vm.ResourcePool = true, nil
		w.summarise(vm)
	} else if req.Spec.PowerOn {
		if fault := w.powerOn(c, vm); fault != nil {
			return nil, fault
		}
	}
	return vm.Self, nil
}

func (w *world) copyInto(vm, source *simulator.VirtualMachine, spec *types.VirtualMachineCloneSpec) vimFault {
	own := vm.Config
	config := cloned(source.Config)
	config.Name, config.Uuid, config.InstanceUuid, config.Files = own.Name, own.Uuid, own.InstanceUuid, own.Files
	config.CreateDate, config.ChangeVersion, config.Template, config.ManagedBy, config.FtInfo = own.CreateDate, "1", false, nil, nil
	devices := config.Hardware.Device
	config.Hardware.Device = nil
	vm.Config = config
	changes := append(append([]types.BaseVirtualDeviceConfigSpec(nil), spec.Location.DeviceChange...), deviceChanges(spec.Config)...)
	for _, d := range devices {
		card, ok := d.(types.BaseVirtualEthernetCard)
		if !ok {
			config.Hardware.Device = append(config.Hardware.Device, d)
			continue
		}
		nic := card.GetVirtualEthernetCard()
		nic.MacAddress, nic.ExternalId = w.newMAC(), ""
		if b, ok := nic.Backing.(*types.VirtualEthernetCardDistributedVirtualPortBackingInfo); ok {
			b.Port.PortKey, b.Port.ConnectionCookie = "", 0
		}
		if moved(changes, nic.Key) {
			nic.Backing = nil // it is connected by the change that follows
		}
		if fault := w.connect(vm, card, 0); fault != nil {
			return fault
		}
		config.Hardware.Device = append(config.Hardware.Device, d)
	}
	reconfigure := types.VirtualMachineConfigSpec{}
	if spec.Config != nil {
		reconfigure = *spec.Config
		reconfigure.Name = ""
	}
	reconfigure.DeviceChange = changes
	return w.reconfigureVM(vm, &reconfigure)
}

func deviceChanges(spec *types.VirtualMachineConfigSpec) []types.BaseVirtualDeviceConfigSpec {
	if spec == nil {
		return nil
	}
	return spec.DeviceChange
}

// moved says whether one of the changes gives the NIC another backing.
func moved(changes []types.BaseVirtualDeviceConfigSpec, key int32) bool {
	for _, change := range changes {
		spec := change.GetVirtualDeviceConfigSpec()
		if d := spec.Device.GetVirtualDevice(); d.Key == key && (d.Backing != nil || spec.Operation == types.VirtualDeviceConfigSpecOperationRemove) {
			return true
		}
	}
	return false
}

func cloneMethods(t *table) {
	on(t, "CloneVM_Task", func(c *call, req *types.CloneVM_Task) (*types.CloneVM_TaskResponse, vimFault) {
		source := c.w.vm(c.this)
		if source == nil {
			return nil, &types.ManagedObjectNotFound{Obj: c.this}
		}
		if c.w.inv.esxi() {
			return nil, &types.NotSupported{}
		}
		copied := clone(reflect.ValueOf(req)).Interface().(*types.CloneVM_Task)
		task := c.w.do(c, c.this, "CloneVM_Task", "VirtualMachine.clone", func() (types.AnyType, vimFault) {
			return c.w.cloneVM(c, source, copied)
		})
		return &types.CloneVM_TaskResponse{Returnval: task}, nil
	})
	on(t, "MarkAsTemplate", func(c *call, _ *types.MarkAsTemplate) (*types.MarkAsTemplateResponse, vimFault) {
		vm := c.w.vm(c.this)
		if vm.Config.Template || vm.Runtime.PowerState != poweredOff {
			return nil, &types.InvalidState{}
		}
		vm.Config.Template, vm.ResourcePool = true, nil
		c.w.summarise(vm)
		return &types.MarkAsTemplateResponse{}, nil
	})
	on(t, "MarkAsVirtualMachine", func(c *call, req *types.MarkAsVirtualMachine) (*types.MarkAsVirtualMachineResponse, vimFault) {
		vm := c.w.vm(c.this)
		pool, ok := c.w.get(req.Pool).(*simulator.ResourcePool)
		if !vm.Config.Template || !ok {
			return nil, &types.InvalidState{}
		}
		h, fault := c.w.hostFor(req.Host, pool)
		if fault != nil {
			return nil, fault
		}
		vm.Config.Template, vm.ResourcePool, vm.Runtime.Host = false, &pool.Self, &h.Self
		c.w.summarise(vm)
		return &types.MarkAsVirtualMachineResponse{}, nil
	})
}
