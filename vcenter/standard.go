// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// Standard switches: each host has its own, and port groups of one name on two hosts are two things that share a Network.

const standardPorts = 128

func networkSystem(w *world, r ref) *simulator.HostNetworkSystem {
	ns, _ := w.get(r).(*simulator.HostNetworkSystem)
	return ns
}

func (w *world) hostOf(ns *simulator.HostNetworkSystem) *simulator.HostSystem {
	return w.host(ns.Host.Self)
}

func defaultPolicy() *types.HostNetworkPolicy {
	return &types.HostNetworkPolicy{
		Security: &types.HostNetworkSecurityPolicy{
			AllowPromiscuous: types.NewBool(false), MacChanges: types.NewBool(true), ForgedTransmits: types.NewBool(true),
		},
		NicTeaming: &types.HostNicTeamingPolicy{
			Policy: "loadbalance_srcid", ReversePolicy: types.NewBool(true), NotifySwitches: types.NewBool(true),
			RollingOrder: types.NewBool(false), NicOrder: &types.HostNicOrderPolicy{},
		},
		OffloadPolicy: &types.HostNetOffloadCapabilities{
			CsumOffload: types.NewBool(true), TcpSegmentation: types.NewBool(true), ZeroCopyXmit: types.NewBool(true),
		},
		ShapingPolicy: &types.HostNetworkTrafficShapingPolicy{Enabled: types.NewBool(false)},
	}
}

func uplinksOf(spec *types.HostVirtualSwitchSpec) []string {
	switch b := spec.Bridge.(type) {
	case *types.HostVirtualSwitchBondBridge:
		return b.NicDevice
	case *types.HostVirtualSwitchSimpleBridge:
		return []string{b.NicDevice}
	}
	return nil
}

func findSwitch(info *types.HostNetworkInfo, name string) *types.HostVirtualSwitch {
	for i := range info.Vswitch {
		if info.Vswitch[i].Name == name {
			return &info.Vswitch[i]
		}
	}
	return nil
}

func findPortGroup(info *types.HostNetworkInfo, name string) *types.HostPortGroup {
	for i := range info.Portgroup {
		if info.Portgroup[i].Spec.Name == name {
			return &info.Portgroup[i]
		}
	}
	return nil
}

// settle derives from the specs what a host reports besides them, and publishes it.
func (w *world) settle(h *simulator.HostSystem) {
	info := h.Config.Network
	for i := range info.Vswitch {
		s := &info.Vswitch[i]
		s.Key = "key-vim.host.VirtualSwitch-" + s.Name
		s.NumPorts, s.NumPortsAvailable = 2560, 2540
		if s.Mtu = s.Spec.Mtu; s.Mtu == 0 {
			s.Mtu = 1500
		}
		s.Pnic, s.Portgroup = nil, nil
		for _, nic := range uplinksOf(&s.Spec) {
			s.Pnic = append(s.Pnic, "key-vim.host.PhysicalNic-"+nic)
		}
		for j := range info.Portgroup {
			if pg := &info.Portgroup[j]; pg.Spec.VswitchName == s.Name {
				pg.Key = "key-vim.host.PortGroup-" + pg.Spec.Name
				pg.Vswitch = s.Key
				pg.ComputedPolicy = *defaultPolicy()
				if s.Spec.Policy != nil {
					merge(&pg.ComputedPolicy, s.Spec.Policy)
				}
				merge(&pg.ComputedPolicy, &pg.Spec.Policy)
				s.Portgroup = append(s.Portgroup, pg.Key)
			}
		}
	}
	w.settleNetworks(h)
	w.touch(h.Self, *h.ConfigManager.NetworkSystem)
	for r := range w.vms.onHost[h.Self] {
		for _, card := range cards(w.vm(r)) {
			if _, ok := card.GetVirtualEthernetCard().Backing.(*types.VirtualEthernetCardNetworkBackingInfo); ok {
				w.touch(r)
			}
		}
	}
}

// standardNetwork is the datacenter's Network of that name, or nil.
func (w *world) standardNetwork(dc *simulator.Datacenter, name string) *mo.Network {
	return w.standard[dc.Self][name]
}

// settleNetworks makes the Networks that the host's port groups need and drops those that nobody has any more.
func (w *world) settleNetworks(h *simulator.HostSystem) {
	dc := w.datacenterOf(h)
	have := map[string]bool{}
	for _, pg := range h.Config.Network.Portgroup {
		have[pg.Spec.Name] = true
		n := w.standardNetwork(dc, pg.Spec.Name)
		if n == nil {
			n = newNetwork(w.newRef("Network", "network"), pg.Spec.Name)
			w.enterStandard(dc, n)
		}
		if !w.use(n.Self).hosts[h.Self] {
			w.use(n.Self).hosts[h.Self] = true
			w.touch(n.Self, *h.Parent, dc.Self)
		}
	}
	for name, n := range w.standard[dc.Self] {
		if have[name] {
			continue
		}
		use := w.use(n.Self)
		if use.hosts[h.Self] {
			delete(use.hosts, h.Self)
			w.touch(n.Self, *h.Parent, dc.Self)
		}
		if len(use.hosts) == 0 && len(use.vms) == 0 {
			w.remove(n)
			delete(w.networks, n.Self)
			delete(w.standard[dc.Self], name)
		}
	}
}

func (w *world) enterStandard(dc *simulator.Datacenter, n *mo.Network) {
	w.put(w.folder(dc.NetworkFolder), n)
	if w.standard[dc.Self] == nil {
		w.standard[dc.Self] = map[string]*mo.Network{}
	}
	w.standard[dc.Self][n.Name] = n
}

func newNetwork(r ref, name string) *mo.Network {
	n := &mo.Network{}
	n.Self, n.Name = r, name
	n.Entity().Name = name
	n.Summary = &types.NetworkSummary{Network: &n.Self, Name: name, Accessible: true}
	return n
}

// usedOn says whether a running VM on the host has a connected NIC in the standard port group.
func (w *world) usedOn(h *simulator.HostSystem, name string) bool {
	for r := range w.vms.onHost[h.Self] {
		vm := w.vm(r)
		if vm.Runtime.PowerState == types.VirtualMachinePowerStatePoweredOff {
			continue
		}
		for _, card := range cards(vm) {
			b, ok := card.GetVirtualEthernetCard().Backing.(*types.VirtualEthernetCardNetworkBackingInfo)
			if ok && b.DeviceName == name {
				return true
			}
		}
	}
	return false
}

// freeUplinks refuses NICs that the host has not, or that another switch has.
func (w *world) freeUplinks(h *simulator.HostSystem, own string, nics []string) vimFault {
	for _, nic := range nics {
		if !hasPnic(h, nic) {
			return &types.NotFound{}
		}
		if holder := w.pnicHolder(h, nic); holder != "" && holder != own {
			return &types.ResourceInUse{Type: "PhysicalNic", Name: nic}
		}
	}
	return nil
}

func hasPnic(h *simulator.HostSystem, name string) bool {
	for _, p := range h.Config.Network.Pnic {
		if p.Device == name {
			return true
		}
	}
	return false
}

// pnicHolder names the switch that has the NIC: a standard switch's name, a distributed switch's uuid, or nothing.
func (w *world) pnicHolder(h *simulator.HostSystem, nic string) string {
	for i := range h.Config.Network.Vswitch {
		if s := &h.Config.Network.Vswitch[i]; contains(uplinksOf(&s.Spec), nic) {
			return s.Name
		}
	}
	for _, s := range w.switchesOf(h.Self) {
		if contains(s.members[h.Self].pnics, nic) {
			return s.Uuid
		}
	}
	return ""
}

func standardSwitchMethods(t *table) {
	on(t, "AddVirtualSwitch", func(c *call, req *types.AddVirtualSwitch) (*types.AddVirtualSwitchResponse, vimFault) {
		h := c.w.hostOf(networkSystem(c.w, c.this))
		info := h.Config.Network
		if findSwitch(info, req.VswitchName) != nil {
			return nil, &types.AlreadyExists{Name: req.VswitchName}
		}
		spec := types.HostVirtualSwitchSpec{NumPorts: standardPorts}
		if req.Spec != nil {
			spec = *req.Spec
		}
		if fault := c.w.freeUplinks(h, req.VswitchName, uplinksOf(&spec)); fault != nil {
			return nil, fault
		}
		info.Vswitch = append(info.Vswitch, types.HostVirtualSwitch{Name: req.VswitchName, Spec: spec})
		c.w.settle(h)
		return &types.AddVirtualSwitchResponse{}, nil
	})
	on(t, "UpdateVirtualSwitch", func(c *call, req *types.UpdateVirtualSwitch) (*types.UpdateVirtualSwitchResponse, vimFault) {
		h := c.w.hostOf(networkSystem(c.w, c.this))
		s := findSwitch(h.Config.Network, req.VswitchName)
		if s == nil {
			return nil, &types.NotFound{}
		}
		if fault := c.w.freeUplinks(h, s.Name, uplinksOf(&req.Spec)); fault != nil {
			return nil, fault
		}
		s.Spec = req.Spec
		c.w.settle(h)
		return &types.UpdateVirtualSwitchResponse{}, nil
	})
	on(t, "RemoveVirtualSwitch", func(c *call, req *types.RemoveVirtualSwitch) (*types.RemoveVirtualSwitchResponse, vimFault) {
		h := c.w.hostOf(networkSystem(c.w, c.this))
		info := h.Config.Network
		if findSwitch(info, req.VswitchName) == nil {
			return nil, &types.NotFound{}
		}
		var switches []types.HostVirtualSwitch
		var groups []types.HostPortGroup
		for _, pg := range info.Portgroup {
			if pg.Spec.VswitchName != req.VswitchName {
				groups = append(groups, pg)
			} else if c.w.usedOn(h, pg.Spec.Name) || usedByKernel(info, pg.Spec.Name) {
				return nil, &types.ResourceInUse{Type: "HostVirtualSwitch", Name: req.VswitchName}
			}
		}
		for _, s := range info.Vswitch {
			if s.Name != req.VswitchName {
				switches = append(switches, s)
			}
		}
		info.Vswitch, info.Portgroup = switches, groups
		c.w.settle(h)
		return &types.RemoveVirtualSwitchResponse{}, nil
	})
	on(t, "AddPortGroup", func(c *call, req *types.AddPortGroup) (*types.AddPortGroupResponse, vimFault) {
		h := c.w.hostOf(networkSystem(c.w, c.this))
		info := h.Config.Network
		if fault := checkPortGroup(info, &req.Portgrp); fault != nil {
			return nil, fault
		}
		if findPortGroup(info, req.Portgrp.Name) != nil {
			return nil, &types.AlreadyExists{Name: req.Portgrp.Name}
		}
		if fault := c.w.clash(h, req.Portgrp.Name); fault != nil {
			return nil, fault
		}
		info.Portgroup = append(info.Portgroup, types.HostPortGroup{Spec: req.Portgrp})
		c.w.settle(h)
		return &types.AddPortGroupResponse{}, nil
	})
	on(t, "UpdatePortGroup", func(c *call, req *types.UpdatePortGroup) (*types.UpdatePortGroupResponse, vimFault) {
		h := c.w.hostOf(networkSystem(c.w, c.this))
		info := h.Config.Network
		pg := findPortGroup(info, req.PgName)
		if pg == nil {
			return nil, &types.NotFound{}
		}
		if fault := checkPortGroup(info, &req.Portgrp); fault != nil {
			return nil, fault
		}
		if req.Portgrp.Name != req.PgName {
			if findPortGroup(info, req.Portgrp.Name) != nil {
				return nil, &types.AlreadyExists{Name: req.Portgrp.Name}
			}
		}
		pg.Spec = req.Portgrp
		c.w.settle(h)
		if req.Portgrp.Name != req.PgName {
			c.w.renameBackings(h, req.PgName, req.Portgrp.Name)
		}
		return &types.UpdatePortGroupResponse{}, nil
	})
	on(t, "RemovePortGroup", func(c *call, req *types.RemovePortGroup) (*types.RemovePortGroupResponse, vimFault) {
		h := c.w.hostOf(networkSystem(c.w, c.this))
		info := h.Config.Network
		if findPortGroup(info, req.PgName) == nil {
			return nil, &types.NotFound{}
		}
		if c.w.usedOn(h, req.PgName) || usedByKernel(info, req.PgName) {
			return nil, &types.ResourceInUse{Type: "HostPortGroup", Name: req.PgName}
		}
		var groups []types.HostPortGroup
		for _, pg := range info.Portgroup {
			if pg.Spec.Name != req.PgName {
				groups = append(groups, pg)
			}
		}
		info.Portgroup = groups
		c.w.settle(h)
		return &types.RemovePortGroupResponse{}, nil
	})
}

func usedByKernel(info *types.HostNetworkInfo, name string) bool {
	for _, nic := range info.Vnic {
		if nic.Portgroup == name {
			return true
		}
	}
	return false
}

func checkPortGroup(info *types.HostNetworkInfo, spec *types.HostPortGroupSpec) vimFault {
	switch {
	case spec.Name == "":
		return &types.InvalidArgument{InvalidProperty: "portgrp.name"}
	case spec.VlanId < 0 || spec.VlanId > 4095:
		return &types.InvalidArgument{InvalidProperty: "portgrp.vlanId"}
	case findSwitch(info, spec.VswitchName) == nil:
		return &types.NotFound{}
	}
	return nil
}

// clash refuses a standard port group that is called like a distributed one.
func (w *world) clash(h *simulator.HostSystem, name string) vimFault {
	dc := w.datacenterOf(h)
	if e := w.child(w.folder(dc.NetworkFolder), name); e != nil && e.Reference().Type != "Network" {
		return &types.DuplicateName{Name: name, Object: e.Reference()}
	}
	return nil
}

// renameBackings lets the host's VMs follow a port group that got a new name.
func (w *world) renameBackings(h *simulator.HostSystem, from, to string) {
	n := w.standardNetwork(w.datacenterOf(h), to)
	for _, r := range sorted(w.vms.onHost[h.Self]) {
		vm := w.vm(r)
		for _, card := range cards(vm) {
			b, ok := card.GetVirtualEthernetCard().Backing.(*types.VirtualEthernetCardNetworkBackingInfo)
			if ok && b.DeviceName == from {
				b.DeviceName, b.Network = to, &n.Self
			}
		}
		w.index(vm)
	}
}

func (w *world) standardByRef(r ref) *mo.Network {
	n, _ := w.get(r).(*mo.Network)
	return n
}
