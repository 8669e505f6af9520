// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"time"

	"github.com/vmware/govmomi/vim25/types"
)

// What the data plane is told of each thing. The JSON names are the control API.

type hostItem struct {
	Key         string         `json:"key"`
	Name        string         `json:"name"`
	Version     string         `json:"version"`
	Cluster     string         `json:"cluster"`
	Powered     bool           `json:"powered"`
	Connected   bool           `json:"connected"`
	Maintenance bool           `json:"maintenance"`
	Pnics       []pnicItem     `json:"pnics"`
	Switches    []stdSwitchOut `json:"switches"`
}

type pnicItem struct {
	Name string `json:"name"`
	MAC  string `json:"mac"`
	Mbps int32  `json:"mbps"`
}

type securityItem struct {
	Promiscuous bool `json:"promiscuous"`
	MACChanges  bool `json:"mac_changes"`
	Forged      bool `json:"forged_transmits"`
}

type stdSwitchOut struct {
	Name       string         `json:"name"`
	MTU        int32          `json:"mtu"`
	Uplinks    []string       `json:"uplinks"`
	PortGroups []stdGroupItem `json:"port_groups"`
}

type stdGroupItem struct {
	Name     string       `json:"name"`
	VLAN     int32        `json:"vlan"` // 4095: every VLAN, tagged
	Security securityItem `json:"security"`
}

func (w *world) hostItem(r ref) interface{} {
	h := w.host(r)
	if h == nil {
		return nil
	}
	item := &hostItem{Key: r.Value, Name: h.Name, Version: h.Config.Product.Version, Powered: !w.hosts.dead[r],
		Connected: h.Runtime.ConnectionState == types.HostSystemConnectionStateConnected, Maintenance: h.Runtime.InMaintenanceMode,
		Pnics: []pnicItem{}, Switches: []stdSwitchOut{}}
	if c := w.clusterOf(h); c != nil {
		item.Cluster = c.Name
	}
	for _, p := range h.Config.Network.Pnic {
		item.Pnics = append(item.Pnics, pnicItem{p.Device, p.Mac, p.LinkSpeed.SpeedMb})
	}
	at := map[string]int{}
	for i := range h.Config.Network.Vswitch {
		s := &h.Config.Network.Vswitch[i]
		at[s.Name] = len(item.Switches)
		item.Switches = append(item.Switches, stdSwitchOut{Name: s.Name, MTU: s.Mtu, Uplinks: append([]string{}, uplinksOf(&s.Spec)...), PortGroups: []stdGroupItem{}})
	}
	for _, pg := range h.Config.Network.Portgroup {
		group := stdGroupItem{Name: pg.Spec.Name, VLAN: pg.Spec.VlanId}
		if s := pg.ComputedPolicy.Security; s != nil {
			group.Security = securityItem{yes(s.AllowPromiscuous), yes(s.MacChanges), yes(s.ForgedTransmits)}
		}
		s := &item.Switches[at[pg.Spec.VswitchName]]
		s.PortGroups = append(s.PortGroups, group)
	}
	return item
}

type switchItem struct {
	Key      string       `json:"key"`
	UUID     string       `json:"uuid"`
	Name     string       `json:"name"`
	Version  string       `json:"version"`
	MTU      int32        `json:"mtu"`
	Uplinks  []string     `json:"uplinks"`
	Members  []memberItem `json:"members"`
	Offload  string       `json:"network_offload"`
	Pvlans   []pvlanItem  `json:"pvlans"`
	IPFIX    ipfixItem    `json:"ipfix"`
	Learning bool         `json:"can_learn"` // its version knows MAC learning
}

type memberItem struct {
	Host  string   `json:"host"`
	Pnics []string `json:"pnics"`
}

type pvlanItem struct {
	Primary   int32  `json:"primary"`
	Secondary int32  `json:"secondary"`
	Type      string `json:"type"`
}

type ipfixItem struct {
	Collector string `json:"collector"`
	Port      int32  `json:"port"`
	Domain    int64  `json:"domain"`
	Sampling  int32  `json:"sampling"`
	Internal  bool   `json:"internal_only"`
}

func (w *world) switchItem(r ref) interface{} {
	s, ok := w.get(r).(*dvSwitch)
	if !ok {
		return nil
	}
	c := s.config()
	item := &switchItem{Key: r.Value, UUID: s.Uuid, Name: s.Name, Version: c.ProductInfo.Version, MTU: c.MaxMtu, Uplinks: append([]string{}, s.uplinkNames()...),
		Members: []memberItem{}, Offload: c.NetworkOffloadSpecId, Pvlans: []pvlanItem{}, Learning: w.macManagement(c.ProductInfo.Version)}
	for _, host := range s.order {
		item.Members = append(item.Members, memberItem{host.Value, append([]string{}, s.members[host].pnics...)})
	}
	for _, entry := range c.PvlanConfig {
		item.Pvlans = append(item.Pvlans, pvlanItem{entry.PrimaryVlanId, entry.SecondaryVlanId, entry.PvlanType})
	}
	if f := c.IpfixConfig; f != nil {
		item.IPFIX = ipfixItem{f.CollectorIpAddress, f.CollectorPort, f.ObservationDomainId, f.SamplingRate, f.InternalFlowsOnly}
	}
	return item
}

type portGroupItem struct {
	Key    string `json:"key"`
	Switch string `json:"switch"` // its uuid
	Name   string `json:"name"`
	Type   string `json:"type"`
	Uplink bool   `json:"uplink"`
	NSX    bool   `json:"nsx"`
	portPolicy
}

// portPolicy is what a port does with frames.
type portPolicy struct {
	VLAN     int32        `json:"vlan"`  // access VLAN; 0: untagged
	Trunk    [][2]int32   `json:"trunk"` // ranges that pass tagged; empty: this is no trunk
	PVLAN    int32        `json:"pvlan"` // secondary VLAN; 0: none
	Blocked  bool         `json:"blocked"`
	Security securityItem `json:"security"`
	Learning bool         `json:"mac_learning"`
	Flooding bool         `json:"unicast_flooding"`
	Limit    int32        `json:"mac_limit"`
	IPFIX    bool         `json:"ipfix"`
	Rules    []ruleItem   `json:"rules"`
}

func policyOf(s *types.VMwareDVSPortSetting) portPolicy {
	p := portPolicy{Trunk: [][2]int32{}, Blocked: blocked(s), Rules: rulesOf(s.FilterPolicy)}
	switch vlan := s.Vlan.(type) {
	case *types.VmwareDistributedVirtualSwitchVlanIdSpec:
		p.VLAN = vlan.VlanId
	case *types.VmwareDistributedVirtualSwitchPvlanSpec:
		p.PVLAN = vlan.PvlanId
	case *types.VmwareDistributedVirtualSwitchTrunkVlanSpec:
		for _, r := range vlan.VlanId {
			p.Trunk = append(p.Trunk, [2]int32{r.Start, r.End})
		}
	}
	value := func(b *types.BoolPolicy) bool { return b != nil && yes(b.Value) }
	if sec := s.SecurityPolicy; sec != nil {
		p.Security = securityItem{value(sec.AllowPromiscuous), value(sec.MacChanges), value(sec.ForgedTransmits)}
	}
	if mac := s.MacManagementPolicy; mac != nil {
		p.Security = securityItem{yes(mac.AllowPromiscuous), yes(mac.MacChanges), yes(mac.ForgedTransmits)}
		if l := mac.MacLearningPolicy; l != nil {
			p.Learning, p.Flooding = l.Enabled, yes(l.AllowUnicastFlooding)
			if l.Limit != nil {
				p.Limit = *l.Limit
			}
		}
	}
	p.IPFIX = value(s.IpfixEnabled)
	return p
}

func (w *world) portGroupItem(r ref) interface{} {
	pg := w.portgroup(r.Value)
	if pg == nil {
		return nil
	}
	s := w.dvsOf(pg)
	return &portGroupItem{Key: pg.Key, Switch: s.Uuid, Name: pg.Name, Type: pg.Config.Type, Uplink: pg.isUplink(s),
		NSX: pg.Config.BackingType == "nsx", portPolicy: policyOf(pg.setting())}
}

type portItem struct {
	Key       string `json:"key"` // the switch's uuid, a slash, the port
	Switch    string `json:"switch"`
	Port      string `json:"port"`
	PortGroup string `json:"port_group"`
	Host      string `json:"host"`
	VM        string `json:"vm"`
	NIC       int32  `json:"nic"`
	portPolicy
}

func (w *world) portItem(p *dvPort) interface{} {
	item := &portItem{Key: p.id(), Switch: p.dvs.Uuid, Port: p.key, PortGroup: p.pg.Key, VM: p.vm.Value, NIC: p.nic, portPolicy: policyOf(p.effective())}
	if p.host != nil {
		item.Host = p.host.Value
	}
	return item
}

type vmItem struct {
	Key      string    `json:"key"`
	Name     string    `json:"name"`
	UUID     string    `json:"uuid"` // instance uuid
	Host     string    `json:"host"`
	MovingTo string    `json:"moving_to"`
	Power    string    `json:"power"`
	Running  bool      `json:"running"` // on, and on a host that is alive
	Boot     string    `json:"boot"`    // when it was switched on, to the nanosecond; empty: it is off
	Template bool      `json:"template"`
	Tools    string    `json:"tools"`
	NICs     []nicItem `json:"nics"`

	GuestInfo map[string]string `json:"guestinfo"` // what a guest reads through its tools, without the prefix
}

func guestInfo(extra []types.BaseOptionValue) map[string]string {
	found := map[string]string{}
	for _, option := range extra {
		value := option.GetOptionValue()
		if text, ok := value.Value.(string); ok && strings.HasPrefix(value.Key, "guestinfo.") {
			found[strings.TrimPrefix(value.Key, "guestinfo.")] = text
		}
	}
	return found
}

type nicItem struct {
	Key       int32        `json:"key"`
	MAC       string       `json:"mac"`
	Type      string       `json:"type"`
	Connected bool         `json:"connected"`
	Started   bool         `json:"started"` // connected at power on
	Backing   *backingItem `json:"backing"`
}

type backingItem struct {
	Kind      string `json:"kind"`       // standard, distributed or opaque
	Switch    string `json:"switch"`     // a standard switch's name, a distributed one's uuid
	PortGroup string `json:"port_group"` // a standard one's name, a distributed one's key, an opaque network's id
	Port      string `json:"port"`
}

func (w *world) vmItem(r ref) interface{} {
	vm := w.vm(r)
	if vm == nil {
		return nil
	}
	item := &vmItem{Key: r.Value, Name: vm.Name, UUID: vm.Config.InstanceUuid, Host: vm.Runtime.Host.Value, Power: string(vm.Runtime.PowerState),
		Running: w.running(vm), Template: vm.Config.Template, Tools: vm.Guest.ToolsRunningStatus, NICs: []nicItem{}, GuestInfo: guestInfo(vm.Config.ExtraConfig)}
	if on := vm.Runtime.BootTime; on != nil {
		item.Boot = on.Format(time.RFC3339Nano)
	}
	if m := w.moves.running[r]; m != nil {
		item.MovingTo = m.to.Self.Value
	}
	for _, card := range cards(vm) {
		nic := card.GetVirtualEthernetCard()
		out := nicItem{Key: nic.Key, MAC: nic.MacAddress, Type: cardType(card)}
		if nic.Connectable != nil {
			out.Connected, out.Started = nic.Connectable.Connected, nic.Connectable.StartConnected
		}
		switch b := nic.Backing.(type) {
		case *types.VirtualEthernetCardNetworkBackingInfo:
			out.Backing = &backingItem{Kind: "standard", PortGroup: b.DeviceName}
			if pg := findPortGroup(w.host(*vm.Runtime.Host).Config.Network, b.DeviceName); pg != nil {
				out.Backing.Switch = pg.Spec.VswitchName
			}
		case *types.VirtualEthernetCardDistributedVirtualPortBackingInfo:
			out.Backing = &backingItem{"distributed", b.Port.SwitchUuid, b.Port.PortgroupKey, b.Port.PortKey}
		case *types.VirtualEthernetCardOpaqueNetworkBackingInfo:
			out.Backing = &backingItem{Kind: "opaque", PortGroup: b.OpaqueNetworkId}
		}
		item.NICs = append(item.NICs, out)
	}
	return item
}

func cardType(card types.BaseVirtualEthernetCard) string {
	switch card.(type) {
	case *types.VirtualSriovEthernetCard:
		return "sriov"
	case *types.VirtualE1000:
		return "e1000"
	case *types.VirtualE1000e:
		return "e1000e"
	}
	return "vmxnet3"
}
