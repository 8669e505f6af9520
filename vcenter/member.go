// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// changeMembers takes hosts into the switch, changes their NICs, or lets them go. All of it is checked before any of it is done.
func (w *world) changeMembers(s *dvSwitch, specs []types.DistributedVirtualSwitchHostMemberConfigSpec) vimFault {
	for i := range specs {
		if fault := w.checkMember(s, &specs[i]); fault != nil {
			return fault
		}
	}
	for i := range specs {
		spec := &specs[i]
		switch spec.Operation {
		case "add":
			s.members[spec.Host] = &dvMember{pnics: pnicsOf(spec)}
			s.order = append(s.order, spec.Host)
			w.makeUplinks(s, spec.Host)
		case "edit":
			if spec.Backing != nil {
				s.members[spec.Host].pnics = pnicsOf(spec)
			}
			w.makeUplinks(s, spec.Host)
		case "remove":
			for _, key := range s.members[spec.Host].uplinks {
				w.deletePort(s, s.ports[key])
			}
			delete(s.members, spec.Host)
			simulator.RemoveReference(&s.order, spec.Host)
		}
		h := w.host(spec.Host)
		w.touch(spec.Host, *h.Parent, *h.ConfigManager.NetworkSystem)
		w.touch(s.Portgroup...)
	}
	return nil
}

func pnicsOf(spec *types.DistributedVirtualSwitchHostMemberConfigSpec) (names []string) {
	if backing, ok := spec.Backing.(*types.DistributedVirtualSwitchHostMemberPnicBacking); ok {
		for _, p := range backing.PnicSpec {
			names = append(names, p.PnicDevice)
		}
	}
	return names
}

func (w *world) checkMember(s *dvSwitch, spec *types.DistributedVirtualSwitchHostMemberConfigSpec) vimFault {
	h := w.host(spec.Host)
	if h == nil {
		return &types.ManagedObjectNotFound{Obj: spec.Host}
	}
	member := s.members[spec.Host]
	switch spec.Operation {
	case "add":
		if member != nil {
			return &types.AlreadyExists{Name: h.Name}
		}
		if !notOlder(h.Config.Product.Version, minimumHost(s.config().ProductInfo.Version)) {
			return &types.NotSupported{}
		}
		if !w.licensed(h, "dvs") {
			return &types.RestrictedVersion{}
		}
	case "edit", "remove":
		if member == nil {
			return &types.NotFound{}
		}
	default:
		return &types.InvalidArgument{InvalidProperty: "spec.host.operation"}
	}
	if h.Runtime.ConnectionState != types.HostSystemConnectionStateConnected {
		return &types.HostNotConnected{}
	}
	if spec.Operation == "remove" {
		for _, p := range s.ports {
			if p.vm != nil && p.host != nil && *p.host == spec.Host {
				return &types.ResourceInUse{Type: "HostSystem", Name: h.Name}
			}
		}
		return nil
	}
	if names := pnicsOf(spec); len(names) > len(s.uplinkNames()) {
		return &types.InvalidArgument{InvalidProperty: "spec.host.backing.pnicSpec"}
	}
	return w.freeUplinks(h, s.Uuid, pnicsOf(spec))
}

// makeUplinks gives the host a port for every uplink of the switch and connects its NICs to the first of them.
func (w *world) makeUplinks(s *dvSwitch, host ref) {
	m := s.members[host]
	if len(s.config().UplinkPortgroup) == 0 {
		return
	}
	pg := w.portgroup(s.config().UplinkPortgroup[0].Value)
	for len(m.uplinks) < len(s.uplinkNames()) {
		p := w.makePort(s, pg)
		p.name, p.host = s.uplinkNames()[len(m.uplinks)], pointer(host)
		m.uplinks = append(m.uplinks, p.key)
	}
	for i, key := range m.uplinks {
		p := s.ports[key]
		p.pnic, p.host = "", pointer(host)
		if i < len(m.pnics) {
			p.pnic = m.pnics[i]
		}
	}
}

// refreshMembers derives from the members what the switch reports about them.
func (w *world) refreshMembers(s *dvSwitch) {
	info := s.config()
	info.Host = nil
	s.Runtime = &types.DVSRuntimeInfo{}
	for _, r := range s.order {
		m, h := s.members[r], w.host(r)
		backing := &types.DistributedVirtualSwitchHostMemberPnicBacking{}
		for i, name := range m.pnics {
			spec := types.DistributedVirtualSwitchHostMemberPnicSpec{PnicDevice: name}
			if i < len(m.uplinks) {
				spec.UplinkPortKey, spec.UplinkPortgroupKey = m.uplinks[i], info.UplinkPortgroup[0].Value
			}
			backing.PnicSpec = append(backing.PnicSpec, spec)
		}
		status := "up"
		if h.Runtime.ConnectionState != types.HostSystemConnectionStateConnected {
			status = "disconnected"
		}
		product := info.ProductInfo
		info.Host = append(info.Host, types.DistributedVirtualSwitchHostMember{
			Config: types.DistributedVirtualSwitchHostMemberConfigInfo{
				Host: pointer(r), MaxProxySwitchPorts: info.DefaultProxySwitchMaxNumPorts, Backing: backing,
			},
			ProductInfo: &product, UplinkPortKey: m.uplinks, Status: status,
		})
		s.Runtime.HostMemberRuntime = append(s.Runtime.HostMemberRuntime, types.HostMemberRuntimeInfo{Host: r, Status: status})
	}
	info.NumPorts = int32(len(s.ports))
	w.touch(s.Self)
}

// refreshSummary makes the switch's summary, when somebody reads it.
func (w *world) refreshSummary(s *dvSwitch) {
	info := s.config()
	product := info.ProductInfo
	summary := types.DVSSummary{
		Name: s.Name, Uuid: s.Uuid, NumPorts: int32(len(s.ports)), ProductInfo: &product, HostMember: s.memberRefs(),
		Description: info.Description, NumHosts: int32(len(s.order)), Host: s.memberRefs(),
	}
	for _, r := range s.Portgroup {
		summary.PortgroupName = append(summary.PortgroupName, w.portgroup(r.Value).Name)
	}
	s.Summary = summary
}

// refreshProxies lists the distributed switches among the host's own networking.
func (w *world) refreshProxies(h *simulator.HostSystem) {
	info := h.Config.Network
	info.ProxySwitch = nil
	for _, s := range w.switchesOf(h.Self) {
		m := s.members[h.Self]
		proxy := types.HostProxySwitch{
			DvsUuid: s.Uuid, DvsName: s.Name, Key: "key-vim.host.ProxySwitch-" + s.Uuid, NumPorts: 2560, ConfigNumPorts: 512,
			NumPortsAvailable: 2540, Mtu: s.config().MaxMtu,
		}
		backing := &types.DistributedVirtualSwitchHostMemberPnicBacking{}
		for i, name := range m.pnics {
			proxy.Pnic = append(proxy.Pnic, "key-vim.host.PhysicalNic-"+name)
			backing.PnicSpec = append(backing.PnicSpec, types.DistributedVirtualSwitchHostMemberPnicSpec{PnicDevice: name, UplinkPortKey: m.uplinks[i]})
		}
		for _, key := range m.uplinks {
			proxy.UplinkPort = append(proxy.UplinkPort, types.KeyValue{Key: key, Value: s.ports[key].name})
		}
		proxy.Spec.Backing = backing
		info.ProxySwitch = append(info.ProxySwitch, proxy)
	}
}
