// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/simulator/esx"
	"github.com/vmware/govmomi/vim25/types"
)

const pciController = 100

// newVM makes a powered-off VM without NICs.
func (w *world) newVM(folder *simulator.Folder, name string, host *simulator.HostSystem, pool *ref) *simulator.VirtualMachine {
	vm := &simulator.VirtualMachine{}
	vm.Self = w.newRef("VirtualMachine", "vm")
	vm.Name = name
	now := time.Now().UTC()
	identity := w.inv.Name + "/" + vm.Self.Value
	files := types.VirtualMachineFileInfo{
		VmPathName: fmt.Sprintf("[shared] %s/%s.vmx", name, name), LogDirectory: fmt.Sprintf("[shared] %s/", name),
		SnapshotDirectory: fmt.Sprintf("[shared] %s/", name), SuspendDirectory: fmt.Sprintf("[shared] %s/", name),
	}
	vm.Config = &types.VirtualMachineConfigInfo{
		ChangeVersion: "1", Modified: now, CreateDate: &now, Name: name, GuestId: "otherLinux64Guest", GuestFullName: "Other Linux (64-bit)",
		Version: "vmx-19", Uuid: uuid.NewSHA1(uuid.NameSpaceOID, []byte(identity)).String(),
		InstanceUuid: uuid.NewSHA1(uuid.NameSpaceURL, []byte(identity)).String(), Files: files, Firmware: "bios",
		Hardware: types.VirtualHardware{NumCPU: 1, NumCoresPerSocket: 1, MemoryMB: 1024}, Tools: &types.ToolsConfigInfo{ToolsVersion: 12352},
		LatencySensitivity: &types.LatencySensitivity{Level: types.LatencySensitivitySensitivityLevelNormal}, BootOptions: &types.VirtualMachineBootOptions{},
	}
	allocation := types.DefaultResourceConfigSpec()
	vm.Config.CpuAllocation, vm.Config.MemoryAllocation = &allocation.CpuAllocation, &allocation.MemoryAllocation
	for _, d := range esx.VirtualDevice {
		vm.Config.Hardware.Device = append(vm.Config.Hardware.Device, clone(reflect.ValueOf(d)).Interface().(types.BaseVirtualDevice))
	}
	vm.Guest = &types.GuestInfo{GuestState: "notRunning", ToolsStatus: types.VirtualMachineToolsStatusToolsNotRunning,
		ToolsRunningStatus: "guestToolsNotRunning", ToolsVersionStatus2: "guestToolsCurrent"}
	vm.Runtime = types.VirtualMachineRuntimeInfo{Host: &host.Self, ConnectionState: types.VirtualMachineConnectionStateConnected,
		PowerState: types.VirtualMachinePowerStatePoweredOff, FaultToleranceState: types.VirtualMachineFaultToleranceStateNotConfigured}
	vm.ResourcePool = pool
	if cr := w.computeResource(*host.Parent); cr != nil && cr.EnvironmentBrowser != nil {
		vm.EnvironmentBrowser = *cr.EnvironmentBrowser
	}
	if len(host.Datastore) > 0 {
		vm.Datastore = host.Datastore[:1]
	}
	vm.Layout, vm.LayoutEx = &types.VirtualMachineFileLayout{}, &types.VirtualMachineFileLayoutEx{Timestamp: now}
	vm.Storage = &types.VirtualMachineStorageInfo{Timestamp: now}
	vm.Summary.Storage = &types.VirtualMachineStorageSummary{Timestamp: now}
	vm.GuestHeartbeatStatus = types.ManagedEntityStatusGray
	w.put(folder, vm)
	w.summarise(vm)
	return vm
}

// summarise makes the VM's summary and the indexes follow the rest of it. It is called after every change of a VM.
func (w *world) summarise(vm *simulator.VirtualMachine) {
	s := &vm.Summary
	config := vm.Config
	config.Name, s.Vm, s.Runtime, s.OverallStatus = vm.Name, &vm.Self, vm.Runtime, types.ManagedEntityStatusGreen
	s.QuickStats.GuestHeartbeatStatus = types.ManagedEntityStatusGray
	s.Config = types.VirtualMachineConfigSummary{
		Name: vm.Name, Template: config.Template, VmPathName: config.Files.VmPathName, MemorySizeMB: config.Hardware.MemoryMB,
		NumCpu: config.Hardware.NumCPU, NumEthernetCards: int32(len(cards(vm))), Uuid: config.Uuid, InstanceUuid: config.InstanceUuid,
		GuestId: config.GuestId, GuestFullName: config.GuestFullName, Annotation: config.Annotation, ManagedBy: config.ManagedBy,
		FtInfo: config.FtInfo,
	}
	s.Guest = &types.VirtualMachineGuestSummary{GuestId: config.GuestId, ToolsStatus: vm.Guest.ToolsStatus,
		ToolsRunningStatus: vm.Guest.ToolsRunningStatus, HostName: vm.Guest.HostName, IpAddress: vm.Guest.IpAddress}
	vm.Guest.Net = nil
	if vm.Guest.ToolsRunningStatus == "guestToolsRunning" {
		for _, card := range cards(vm) {
			nic := card.GetVirtualEthernetCard()
			vm.Guest.Net = append(vm.Guest.Net, types.GuestNicInfo{MacAddress: nic.MacAddress, DeviceConfigId: nic.Key,
				Connected: nic.Connectable != nil && nic.Connectable.Connected})
		}
	}
	w.index(vm)
}

// makeVM makes one of the inventory's VMs.
func (w *world) makeVM(dc *simulator.Datacenter, spec *vmSpec) error {
	h := w.host(w.hosts.byName[spec.Host])
	vm := w.newVM(w.folder(dc.VmFolder), spec.Name, h, w.computeResource(*h.Parent).ResourcePool)
	if spec.UUID != "" {
		vm.Config.InstanceUuid = spec.UUID
	}
	if spec.CPUs > 0 {
		vm.Config.Hardware.NumCPU = spec.CPUs
	}
	if spec.MemoryMB > 0 {
		vm.Config.Hardware.MemoryMB = spec.MemoryMB
	}
	if spec.FaultTolerance {
		vm.Config.FtInfo = &types.FaultTolerancePrimaryConfigInfo{FaultToleranceConfigInfo: types.FaultToleranceConfigInfo{
			Role: 1, InstanceUuids: []string{vm.Config.InstanceUuid}, ConfigPaths: []string{vm.Config.Files.VmPathName}}}
		vm.Runtime.FaultToleranceState = types.VirtualMachineFaultToleranceStateRunning
	}
	for i := range spec.NICs {
		if err := w.makeNIC(dc, vm, &spec.NICs[i]); err != nil {
			return fmt.Errorf("VM %s: NIC %d: %v", spec.Name, i, err)
		}
	}
	vm.Config.Template = spec.Template
	if spec.Template {
		vm.ResourcePool = nil
	}
	if !spec.Template && spec.Power != "off" {
		w.setPower(vm, types.VirtualMachinePowerStatePoweredOn)
	}
	if spec.Tools != "" {
		w.setTools(vm, spec.Tools)
	}
	w.summarise(vm)
	return nil
}

func (w *world) makeNIC(dc *simulator.Datacenter, vm *simulator.VirtualMachine, spec *nicSpec) error {
	base := types.VirtualEthernetCard{MacAddress: spec.MAC, AddressType: w.addressType()}
	if spec.ManualMAC {
		base.AddressType = "manual"
	}
	on := spec.Connected == nil || *spec.Connected
	base.Connectable = &types.VirtualDeviceConnectInfo{StartConnected: on, Connected: on, AllowGuestControl: true, Status: "untried"}
	if spec.Network != "" {
		backing, err := w.backingFor(dc, spec)
		if err != nil {
			return err
		}
		base.Backing = backing
	}
	var card types.BaseVirtualDevice
	switch spec.Type {
	case "", "vmxnet3":
		card = &types.VirtualVmxnet3{VirtualVmxnet: types.VirtualVmxnet{VirtualEthernetCard: base}}
	case "e1000":
		card = &types.VirtualE1000{VirtualEthernetCard: base}
	case "e1000e":
		card = &types.VirtualE1000e{VirtualEthernetCard: base}
	case "sriov":
		card = &types.VirtualSriovEthernetCard{VirtualEthernetCard: base, AllowGuestOSMtuChange: types.NewBool(true)}
	default:
		return fmt.Errorf("type: %q is not known", spec.Type)
	}
	if fault := w.addNIC(vm, card, 0, spec.MAC); fault != nil {
		return fmt.Errorf("%s", message(fault))
	}
	return nil
}

func (w *world) backingFor(dc *simulator.Datacenter, spec *nicSpec) (types.BaseVirtualDeviceBackingInfo, error) {
	e := w.child(w.folder(dc.NetworkFolder), spec.Network)
	if e == nil {
		return nil, fmt.Errorf("network: there is no %q", spec.Network)
	}
	switch e.Reference().Type {
	case "DistributedVirtualPortgroup":
		pg := e.(*dvPortgroup)
		s := w.dvsOf(pg)
		if spec.Switch != "" && s.Name != spec.Switch {
			return nil, fmt.Errorf("network: %q is not in %q", spec.Network, spec.Switch)
		}
		return &types.VirtualEthernetCardDistributedVirtualPortBackingInfo{
			Port: types.DistributedVirtualSwitchPortConnection{SwitchUuid: s.Uuid, PortgroupKey: pg.Key}}, nil
	case "OpaqueNetwork":
		return &types.VirtualEthernetCardOpaqueNetworkBackingInfo{
			OpaqueNetworkId: strings.TrimPrefix(e.Reference().Value, opaquePrefix), OpaqueNetworkType: "nsx.LogicalSwitch"}, nil
	}
	return &types.VirtualEthernetCardNetworkBackingInfo{
		VirtualDeviceDeviceBackingInfo: types.VirtualDeviceDeviceBackingInfo{DeviceName: spec.Network}, Network: pointer(e.Reference())}, nil
}

// deleteVM takes the VM and its NICs away.
func (w *world) deleteVM(vm *simulator.VirtualMachine) {
	for _, card := range cards(vm) {
		w.disconnect(card)
	}
	place := w.vms.places[vm.Self]
	w.unindex(vm.Self)
	w.counters.forgetVM(vm.Self.Value)
	w.touch(place.host, place.pool)
	for r := range place.networks {
		w.touch(r)
	}
	w.remove(vm)
}

func vmMethods(t *table) {
	on(t, "CreateVM_Task", func(c *call, req *types.CreateVM_Task) (*types.CreateVM_TaskResponse, vimFault) {
		folder := c.w.folder(c.this)
		task := c.w.do(c, c.this, "CreateVM_Task", "VirtualMachine.create", func() (types.AnyType, vimFault) {
			return c.w.createVM(c, folder, req)
		})
		return &types.CreateVM_TaskResponse{Returnval: task}, nil
	})
	onType(t, "VirtualMachine", "ReconfigVM_Task", func(c *call, req *types.ReconfigVM_Task) (*types.ReconfigVM_TaskResponse, vimFault) {
		vm := c.w.vm(c.this)
		if vm == nil {
			return nil, &types.ManagedObjectNotFound{Obj: c.this}
		}
		task := c.w.do(c, c.this, "ReconfigVM_Task", "VirtualMachine.reconfigure", func() (types.AnyType, vimFault) {
			fault := c.w.reconfigureVM(vm, &req.Spec)
			if fault == nil {
				c.w.post(c, &types.VmReconfiguredEvent{VmEvent: c.w.vmEvent(vm)})
			}
			return nil, fault
		})
		return &types.ReconfigVM_TaskResponse{Returnval: task}, nil
	})
	onType(t, "VirtualMachine", "Rename_Task", func(c *call, req *types.Rename_Task) (*types.Rename_TaskResponse, vimFault) {
		vm := c.w.vm(c.this)
		task := c.w.do(c, c.this, "Rename_Task", "ManagedEntity.rename", func() (types.AnyType, vimFault) {
			return nil, c.w.reconfigureVM(vm, &types.VirtualMachineConfigSpec{Name: req.NewName})
		})
		return &types.Rename_TaskResponse{Returnval: task}, nil
	})
	destroy := func(c *call, vm *simulator.VirtualMachine) vimFault {
		if vm.Runtime.PowerState != poweredOff {
			return &types.InvalidPowerState{RequestedState: poweredOff, ExistingState: vm.Runtime.PowerState}
		}
		event := &types.VmRemovedEvent{VmEvent: c.w.vmEvent(vm)}
		c.w.deleteVM(vm)
		c.w.post(c, event)
		return nil
	}
	onType(t, "VirtualMachine", "Destroy_Task", func(c *call, _ *types.Destroy_Task) (*types.Destroy_TaskResponse, vimFault) {
		vm := c.w.vm(c.this)
		if vm == nil {
			return nil, &types.ManagedObjectNotFound{Obj: c.this}
		}
		task := c.w.do(c, c.this, "Destroy_Task", "VirtualMachine.destroy", func() (types.AnyType, vimFault) {
			return nil, destroy(c, vm)
		})
		return &types.Destroy_TaskResponse{Returnval: task}, nil
	})
	on(t, "UnregisterVM", func(c *call, _ *types.UnregisterVM) (*types.UnregisterVMResponse, vimFault) {
		vm := c.w.vm(c.this)
		if vm == nil {
			return nil, &types.ManagedObjectNotFound{Obj: c.this}
		}
		return &types.UnregisterVMResponse{}, destroy(c, vm)
	})
}

// createVM makes a VM from a spec.
func (w *world) createVM(c *call, folder *simulator.Folder, req *types.CreateVM_Task) (types.AnyType, vimFault) {
	spec := &req.Config
	if spec.Name == "" {
		return nil, &types.InvalidVmConfig{Property: "configSpec.name"}
	}
	if e := w.child(folder, spec.Name); e != nil {
		return nil, &types.DuplicateName{Name: spec.Name, Object: e.Reference()}
	}
	pool, ok := w.get(req.Pool).(*simulator.ResourcePool)
	if !ok {
		return nil, &types.ManagedObjectNotFound{Obj: req.Pool}
	}
	h, fault := w.hostFor(req.Host, pool)
	if fault != nil {
		return nil, fault
	}
	vm := w.newVM(folder, spec.Name, h, &pool.Self)
	if fault := w.reconfigureVM(vm, spec); fault != nil {
		w.deleteVM(vm)
		return nil, fault
	}
	w.post(c, &types.VmCreatedEvent{VmEvent: w.vmEvent(vm)})
	return vm.Self, nil
}

// hostFor is the host asked for, or the one of the pool's with the fewest VMs.
func (w *world) hostFor(wanted *ref, pool *simulator.ResourcePool) (*simulator.HostSystem, vimFault) {
	cr := w.computeResource(pool.Owner)
	if wanted != nil {
		h := w.host(*wanted)
		if h == nil {
			return nil, &types.ManagedObjectNotFound{Obj: *wanted}
		}
		if *h.Parent != cr.Self {
			return nil, &types.InvalidArgument{InvalidProperty: "host"}
		}
		return h, w.usable(h)
	}
	var best *simulator.HostSystem
	for _, r := range cr.Host {
		if h := w.host(r); w.usable(h) == nil && (best == nil || len(w.vms.onHost[r]) < len(w.vms.onHost[best.Self])) {
			best = h
		}
	}
	if best == nil {
		return nil, &types.NoCompatibleHost{}
	}
	return best, nil
}

// usable says why no VM may start on the host or come to it.
func (w *world) usable(h *simulator.HostSystem) vimFault {
	switch {
	case h.Runtime.ConnectionState != types.HostSystemConnectionStateConnected:
		return &types.HostNotConnected{}
	case h.Runtime.InMaintenanceMode:
		return &types.InvalidState{}
	}
	return nil
}
