// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

const (
	firstNICKey = 4000
	maxNICs     = 10
)

func nicKey(vm *simulator.VirtualMachine, card types.BaseVirtualEthernetCard) string {
	return fmt.Sprintf("%s/%d", vm.Self.Value, card.GetVirtualEthernetCard().Key)
}

func cardByKey(vm *simulator.VirtualMachine, key int32) types.BaseVirtualEthernetCard {
	for _, card := range cards(vm) {
		if card.GetVirtualEthernetCard().Key == key {
			return card
		}
	}
	return nil
}

// linkUp says whether the guest sees a link.
func (w *world) linkUp(vm *simulator.VirtualMachine, card types.BaseVirtualEthernetCard) bool {
	c := card.GetVirtualEthernetCard().Connectable
	return w.running(vm) && c != nil && c.Connected
}

// addNIC gives the NIC its key, slot and address and connects it. `mac` is an address the inventory wants.
func (w *world) addNIC(vm *simulator.VirtualMachine, device types.BaseVirtualDevice, index int32, mac string) vimFault {
	card := device.(types.BaseVirtualEthernetCard)
	nic := card.GetVirtualEthernetCard()
	have := cards(vm)
	if len(have) >= maxNICs {
		return &types.InvalidDeviceSpec{DeviceIndex: index}
	}
	nic.Key = freeKey(vm, firstNICKey)
	nic.ControllerKey = pciController
	unit := int32(7)
	for taken := true; taken; {
		taken = false
		for _, other := range have {
			if u := other.GetVirtualEthernetCard().UnitNumber; u != nil && *u == unit {
				taken, unit = true, unit+1
			}
		}
	}
	nic.UnitNumber = &unit
	switch {
	case nic.AddressType == "manual" && nic.MacAddress != "":
	case mac != "":
		nic.MacAddress = mac
	default:
		nic.AddressType, nic.MacAddress = w.addressType(), w.newMAC()
	}
	nic.MacAddress = strings.ToLower(nic.MacAddress)
	if nic.Connectable == nil {
		nic.Connectable = &types.VirtualDeviceConnectInfo{StartConnected: true, AllowGuestControl: true, Connected: true, Status: "untried"}
	}
	if vm.Runtime.PowerState == types.VirtualMachinePowerStatePoweredOff {
		nic.Connectable.Connected = false
	}
	if nic.WakeOnLanEnabled == nil {
		nic.WakeOnLanEnabled = types.NewBool(true)
	}
	label := fmt.Sprintf("Network adapter %d", len(have)+1)
	nic.DeviceInfo = &types.Description{Label: label, Summary: label}
	if fault := w.connect(vm, card, index); fault != nil {
		return fault
	}
	vm.Config.Hardware.Device = append(vm.Config.Hardware.Device, device)
	return nil
}

func (w *world) addressType() string {
	if w.inv.esxi() {
		return "generated"
	}
	return "assigned"
}

// editNIC puts the changed NIC in the place of the old one. Its address stays, unless the client set one by hand.
func (w *world) editNIC(vm *simulator.VirtualMachine, at int, device types.BaseVirtualDevice, index int32) vimFault {
	old := vm.Config.Hardware.Device[at].(types.BaseVirtualEthernetCard)
	before, nic := old.GetVirtualEthernetCard(), device.(types.BaseVirtualEthernetCard).GetVirtualEthernetCard()
	if nic.MacAddress == "" || nic.AddressType != "manual" {
		nic.MacAddress = before.MacAddress
	}
	if nic.AddressType == "" {
		nic.AddressType = before.AddressType
	}
	if nic.Connectable == nil {
		nic.Connectable = before.Connectable
	}
	if vm.Runtime.PowerState == types.VirtualMachinePowerStatePoweredOff {
		nic.Connectable.Connected = false
	}
	if nic.ExternalId == "" {
		nic.ExternalId = before.ExternalId
	}
	nic.MacAddress = strings.ToLower(nic.MacAddress)
	nic.ControllerKey, nic.UnitNumber, nic.DeviceInfo = before.ControllerKey, before.UnitNumber, before.DeviceInfo
	if nic.Backing == nil {
		nic.Backing = before.Backing
	}
	oldPort := w.portOf(old)
	keepPort(before, nic)
	if fault := w.connect(vm, device.(types.BaseVirtualEthernetCard), index); fault != nil {
		return fault
	}
	if oldPort != nil && oldPort != w.portOf(device.(types.BaseVirtualEthernetCard)) {
		w.release(oldPort)
	}
	devices := append([]types.BaseVirtualDevice(nil), vm.Config.Hardware.Device...)
	devices[at] = device
	vm.Config.Hardware.Device = devices
	return nil
}

// keepPort leaves a NIC that stays in its port group on its port.
func keepPort(before, after *types.VirtualEthernetCard) {
	a, ok := before.Backing.(*types.VirtualEthernetCardDistributedVirtualPortBackingInfo)
	b, ok2 := after.Backing.(*types.VirtualEthernetCardDistributedVirtualPortBackingInfo)
	if ok && ok2 && a.Port.SwitchUuid == b.Port.SwitchUuid && a.Port.PortgroupKey == b.Port.PortgroupKey && b.Port.PortKey == "" {
		b.Port.PortKey = a.Port.PortKey
	}
}

// portOf is the distributed port that the NIC is connected to, or nil.
func (w *world) portOf(card types.BaseVirtualEthernetCard) *dvPort {
	b, ok := card.GetVirtualEthernetCard().Backing.(*types.VirtualEthernetCardDistributedVirtualPortBackingInfo)
	if !ok || b.Port.PortKey == "" {
		return nil
	}
	if s := w.switches[b.Port.SwitchUuid]; s != nil {
		return s.ports[b.Port.PortKey]
	}
	return nil
}

// connect checks the NIC's backing and takes its port.
func (w *world) connect(vm *simulator.VirtualMachine, card types.BaseVirtualEthernetCard, index int32) vimFault {
	nic := card.GetVirtualEthernetCard()
	invalid := &types.InvalidDeviceBacking{InvalidDeviceSpec: types.InvalidDeviceSpec{DeviceIndex: index}}
	summary := "none"
	switch b := nic.Backing.(type) {
	case *types.VirtualEthernetCardNetworkBackingInfo:
		h := w.host(*vm.Runtime.Host)
		n := w.standardNetwork(w.datacenterOf(h), b.DeviceName)
		if b.DeviceName == "" && b.Network != nil {
			n = w.standardByRef(*b.Network)
		}
		if n == nil || !w.use(n.Self).hosts[h.Self] {
			return invalid
		}
		b.DeviceName, b.Network = n.Name, &n.Self
		summary = n.Name
	case *types.VirtualEthernetCardDistributedVirtualPortBackingInfo:
		s := w.switches[b.Port.SwitchUuid]
		if s == nil {
			return invalid
		}
		pg := w.portgroup(b.Port.PortgroupKey)
		if pg == nil && b.Port.PortKey != "" && s.ports[b.Port.PortKey] != nil {
			pg = s.ports[b.Port.PortKey].pg
		}
		if pg == nil || w.dvsOf(pg) != s || pg.isUplink(s) || s.members[*vm.Runtime.Host] == nil {
			return invalid
		}
		b.Port.PortgroupKey = pg.Key
		summary = "DVSwitch: " + s.Uuid
		if pg.Config.Type == "ephemeral" && vm.Runtime.PowerState == types.VirtualMachinePowerStatePoweredOff {
			b.Port.PortKey, b.Port.ConnectionCookie = "", 0
			break
		}
		p, fault := w.pick(s, pg, b.Port.PortKey, vm.Self, nic.Key)
		if fault != nil {
			return fault
		}
		w.occupy(p, vm.Self, nic.Key, vm.Runtime.Host)
		b.Port.PortKey, b.Port.ConnectionCookie = p.key, p.cookie
	case *types.VirtualEthernetCardOpaqueNetworkBackingInfo:
		if w.get(ref{Type: "OpaqueNetwork", Value: opaquePrefix + b.OpaqueNetworkId}) == nil {
			return invalid
		}
		summary = b.OpaqueNetworkType + ": " + b.OpaqueNetworkId
	}
	nic.DeviceInfo.GetDescription().Summary = summary
	return nil
}

func (w *world) disconnect(card types.BaseVirtualEthernetCard) {
	if p := w.portOf(card); p != nil {
		w.release(p)
	}
}
