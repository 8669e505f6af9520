// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strconv"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// reconfigureVM applies a spec. Its device changes are carried out in turn; the first that fails ends it.
func (w *world) reconfigureVM(vm *simulator.VirtualMachine, spec *types.VirtualMachineConfigSpec) vimFault {
	config := vm.Config
	if spec.ChangeVersion != "" && spec.ChangeVersion != config.ChangeVersion {
		return &types.ConcurrentAccess{}
	}
	if config.Template && len(spec.DeviceChange) > 0 {
		return &types.NotSupported{}
	}
	if spec.Name != "" && spec.Name != vm.Name {
		if e := w.child(w.folder(*vm.Parent), spec.Name); e != nil {
			return &types.DuplicateName{Name: spec.Name, Object: e.Reference()}
		}
		vm.Name = spec.Name
	}
	for i, change := range spec.DeviceChange {
		if fault := w.changeDevice(vm, change.GetVirtualDeviceConfigSpec(), int32(i)); fault != nil {
			w.summarise(vm)
			return fault
		}
	}
	for _, field := range []struct {
		target *string
		value  string
	}{
		{&config.Annotation, spec.Annotation}, {&config.GuestId, spec.GuestId}, {&config.InstanceUuid, spec.InstanceUuid},
		{&config.Uuid, spec.Uuid}, {&config.Version, spec.Version}, {&config.Firmware, spec.Firmware},
	} {
		if field.value != "" {
			*field.target = field.value
		}
	}
	if spec.NumCPUs != 0 {
		config.Hardware.NumCPU = spec.NumCPUs
	}
	if spec.MemoryMB != 0 {
		config.Hardware.MemoryMB = int32(spec.MemoryMB)
	}
	if spec.NumCoresPerSocket != 0 {
		config.Hardware.NumCoresPerSocket = spec.NumCoresPerSocket
	}
	if spec.MemoryAllocation != nil {
		merge(config.MemoryAllocation, spec.MemoryAllocation)
	}
	if spec.CpuAllocation != nil {
		merge(config.CpuAllocation, spec.CpuAllocation)
	}
	if spec.MemoryReservationLockedToMax != nil {
		config.MemoryReservationLockedToMax = spec.MemoryReservationLockedToMax
	}
	if spec.LatencySensitivity != nil {
		config.LatencySensitivity = spec.LatencySensitivity
	}
	if spec.ManagedBy != nil {
		config.ManagedBy = spec.ManagedBy
	}
	if spec.BootOptions != nil {
		config.BootOptions = spec.BootOptions
	}
	if spec.Flags != nil {
		config.Flags = *spec.Flags
	}
	for _, option := range spec.ExtraConfig {
		setOption(&config.ExtraConfig, option)
	}
	config.Modified = time.Now().UTC()
	config.ChangeVersion = nextVersion(config.ChangeVersion)
	w.summarise(vm)
	return nil
}

// setOption sets or, with an empty value, removes a key.
func setOption(options *[]types.BaseOptionValue, option types.BaseOptionValue) {
	given := option.GetOptionValue()
	kept := (*options)[:0:0]
	for _, have := range *options {
		if have.GetOptionValue().Key != given.Key {
			kept = append(kept, have)
		}
	}
	if text, ok := given.Value.(string); !ok || text != "" {
		kept = append(kept, option)
	}
	*options = kept
}

func (w *world) changeDevice(vm *simulator.VirtualMachine, spec *types.VirtualDeviceConfigSpec, index int32) vimFault {
	device := spec.Device.GetVirtualDevice()
	_, nic := spec.Device.(types.BaseVirtualEthernetCard)
	at := -1
	for i, d := range vm.Config.Hardware.Device {
		if d.GetVirtualDevice().Key == device.Key {
			at = i
		}
	}
	switch spec.Operation {
	case types.VirtualDeviceConfigSpecOperationAdd:
		if nic {
			return w.addNIC(vm, spec.Device, index, "")
		}
		w.addDevice(vm, spec.Device)
		return nil
	case types.VirtualDeviceConfigSpecOperationEdit:
		if at < 0 {
			return &types.InvalidDeviceSpec{DeviceIndex: index}
		}
		if nic {
			return w.editNIC(vm, at, spec.Device, index)
		}
		vm.Config.Hardware.Device[at] = spec.Device
		return nil
	case types.VirtualDeviceConfigSpecOperationRemove:
		if at < 0 {
			return &types.InvalidDeviceSpec{DeviceIndex: index}
		}
		if card, ok := vm.Config.Hardware.Device[at].(types.BaseVirtualEthernetCard); ok {
			w.disconnect(card)
			w.counters.forget(nicKey(vm, card))
		}
		devices := append([]types.BaseVirtualDevice(nil), vm.Config.Hardware.Device[:at]...)
		vm.Config.Hardware.Device = append(devices, vm.Config.Hardware.Device[at+1:]...)
		return nil
	}
	return &types.InvalidDeviceSpec{DeviceIndex: index}
}

func (w *world) addDevice(vm *simulator.VirtualMachine, device types.BaseVirtualDevice) {
	d := device.GetVirtualDevice()
	if d.Key <= 0 {
		d.Key = freeKey(vm, 2000)
	}
	if d.DeviceInfo == nil {
		d.DeviceInfo = &types.Description{Label: "Device " + strconv.Itoa(int(d.Key)), Summary: "Device"}
	}
	vm.Config.Hardware.Device = append(vm.Config.Hardware.Device, device)
}

func freeKey(vm *simulator.VirtualMachine, from int32) int32 {
	taken := map[int32]bool{}
	for _, d := range vm.Config.Hardware.Device {
		taken[d.GetVirtualDevice().Key] = true
	}
	for taken[from] {
		from++
	}
	return from
}
