// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// VMwareDVSConfigInfo has what the API got after the library was made: the offload of vSphere 8.
type VMwareDVSConfigInfo struct {
	types.VMwareDVSConfigInfo

	NetworkOffloadSpecId string `xml:"networkOffloadSpecId,omitempty"`
}

// VMwareDVSConfigSpec is likewise.
type VMwareDVSConfigSpec struct {
	types.VMwareDVSConfigSpec

	NetworkOffloadSpecId string `xml:"networkOffloadSpecId,omitempty"`
}

// dvSwitch is a distributed switch.
type dvSwitch struct {
	mo.VmwareDistributedVirtualSwitch

	members  map[ref]*dvMember
	order    []ref // members, as they came
	ports    map[string]*dvPort
	free     map[string][]*dvPort // by port group
	nextPort int
}

// dvMember is a host in the switch with the NICs it gave.
type dvMember struct {
	pnics   []string
	uplinks []string // port keys, one per uplink of the switch
}

func (s *dvSwitch) config() *VMwareDVSConfigInfo { return s.Config.(*VMwareDVSConfigInfo) }

func (s *dvSwitch) memberRefs() []ref { return append([]ref(nil), s.order...) }

// uplinkNames are what the uplinks are called.
func (s *dvSwitch) uplinkNames() []string {
	if p, ok := s.config().UplinkPortPolicy.(*types.DVSNameArrayUplinkPortPolicy); ok {
		return p.UplinkPortName
	}
	return nil
}

// switchesOf lists the distributed switches that a host is in.
func (w *world) switchesOf(host ref) (list []*dvSwitch) {
	set := map[ref]bool{}
	for _, s := range w.switches {
		if s.members[host] != nil {
			set[s.Self] = true
		}
	}
	for _, r := range sorted(set) {
		list = append(list, w.get(r).(*dvSwitch))
	}
	return list
}

func (w *world) macManagement(version string) bool {
	return notOlder(version, "6.6.0") && notOlder(w.inv.APIVersion, "6.7")
}

// product is the version of the switch to make: the one asked for, or the newest that this vCenter has.
func (w *world) product(asked *types.DistributedVirtualSwitchProductSpec) (types.DistributedVirtualSwitchProductSpec, vimFault) {
	version := newestDVS(w.inv.Version)
	if asked != nil && asked.Version != "" {
		version = asked.Version
	}
	made := types.DistributedVirtualSwitchProductSpec{Name: "DVS", Vendor: "VMware, Inc.", Version: version, Build: "1", ForwardingClass: "etherswitch"}
	if minimumHost(version) == "" || !notOlder(w.inv.Version, minimumHost(version)) {
		return made, &types.InvalidArgument{InvalidProperty: "spec.productInfo.version"}
	}
	return made, nil
}

// newConfig is what a switch has whose spec says nothing.
func newConfig(uuid, name string, product types.DistributedVirtualSwitchProductSpec) *VMwareDVSConfigInfo {
	no := types.NewBool(false)
	info := &VMwareDVSConfigInfo{}
	info.Uuid, info.Name, info.CreateTime, info.MaxMtu, info.MaxPorts = uuid, name, time.Now().UTC(), 1500, 8000
	info.ConfigVersion, info.ProductInfo = "0", product
	info.UplinkPortPolicy = &types.DVSNameArrayUplinkPortPolicy{UplinkPortName: []string{"Uplink 1", "Uplink 2", "Uplink 3", "Uplink 4"}}
	info.Policy = &types.DVSPolicy{AutoPreInstallAllowed: no, AutoUpgradeAllowed: no, PartialUpgradeAllowed: no}
	info.DefaultProxySwitchMaxNumPorts, info.LacpApiVersion, info.MulticastFilteringMode = 512, "multipleLag", "legacyFiltering"
	info.NetworkResourceManagementEnabled = no
	info.LinkDiscoveryProtocolConfig = &types.LinkDiscoveryProtocolConfig{Protocol: "cdp", Operation: "listen"}
	info.IpfixConfig = &types.VMwareIpfixConfig{ActiveFlowTimeout: 60, IdleFlowTimeout: 15}
	return info
}

// newSwitch makes the switch with its uplink port group and its first members.
func (w *world) newSwitch(folder *simulator.Folder, spec *VMwareDVSConfigSpec, asked *types.DistributedVirtualSwitchProductSpec) (*dvSwitch, vimFault) {
	if spec.Name == "" {
		return nil, &types.InvalidName{Name: spec.Name}
	}
	if e := w.child(folder, spec.Name); e != nil {
		return nil, &types.DuplicateName{Name: spec.Name, Object: e.Reference()}
	}
	product, fault := w.product(asked)
	if fault != nil {
		return nil, fault
	}
	can := types.NewBool(true)
	s := &dvSwitch{members: map[ref]*dvMember{}, ports: map[string]*dvPort{}, free: map[string][]*dvPort{}}
	s.Self = w.newRef("VmwareDistributedVirtualSwitch", "dvs")
	s.Name = spec.Name
	s.Uuid = uuid.NewSHA1(uuid.NameSpaceURL, []byte(w.inv.Name+"/"+s.Self.Value)).String()
	s.Capability = types.DVSCapability{DvsOperationSupported: can, DvPortGroupOperationSupported: can, DvPortOperationSupported: can}
	info := newConfig(s.Uuid, s.Name, product)
	s.Config = info
	if fault := s.applySpec(spec); fault != nil {
		return nil, fault
	}
	info.DefaultPortConfig = w.baseSetting(s)
	if spec.DefaultPortConfig != nil {
		merge(info.DefaultPortConfig, settingOf(spec.DefaultPortConfig))
	}
	w.put(folder, s)
	w.switches[s.Uuid] = s
	uplinks := &types.DVPortgroupConfigSpec{Name: fmt.Sprintf("%s-DVUplinks-%s", s.Name, s.Self.Value[len("dvs-"):]), Type: "earlyBinding",
		DefaultPortConfig: &types.VMwareDVSPortSetting{Vlan: &types.VmwareDistributedVirtualSwitchTrunkVlanSpec{VlanId: []types.NumericRange{{Start: 0, End: 4094}}}}}
	pg, fault := w.newPortgroup(s, uplinks)
	if fault != nil {
		return nil, fault
	}
	pg.Config.Uplink = types.NewBool(true)
	pg.Tag = []types.Tag{{Key: "SYSTEM/DVS.UPLINKPG"}}
	info.UplinkPortgroup = []ref{pg.Self}
	if fault := w.changeMembers(s, spec.Host); fault != nil {
		w.destroySwitch(s)
		return nil, fault
	}
	w.refreshMembers(s)
	return s, nil
}

// applySpec keeps what the spec sets, and nothing else.
func (s *dvSwitch) applySpec(spec *VMwareDVSConfigSpec) vimFault {
	info := s.config()
	if spec.MaxMtu != 0 {
		if spec.MaxMtu < 1280 || spec.MaxMtu > 9000 {
			return &types.InvalidArgument{InvalidProperty: "spec.maxMtu"}
		}
		info.MaxMtu = spec.MaxMtu
	}
	for _, change := range spec.PvlanConfigSpec {
		if fault := s.changePvlan(change); fault != nil {
			return fault
		}
	}
	for _, change := range spec.VspanConfigSpec {
		s.changeMirror(change)
	}
	if spec.LinkDiscoveryProtocolConfig != nil {
		info.LinkDiscoveryProtocolConfig = spec.LinkDiscoveryProtocolConfig
	}
	if spec.IpfixConfig != nil {
		info.IpfixConfig = spec.IpfixConfig
	}
	if spec.UplinkPortPolicy != nil {
		info.UplinkPortPolicy = spec.UplinkPortPolicy
	}
	if spec.Policy != nil {
		merge(info.Policy, spec.Policy)
	}
	if spec.Contact != nil {
		info.Contact = *spec.Contact
	}
	if spec.VendorSpecificConfig != nil {
		info.VendorSpecificConfig = spec.VendorSpecificConfig
	}
	set := func(target *string, value string) {
		if value != "" {
			*target = value
		}
	}
	set(&info.LacpApiVersion, spec.LacpApiVersion)
	set(&info.MulticastFilteringMode, spec.MulticastFilteringMode)
	set(&info.Description, spec.Description)
	set(&info.SwitchIpAddress, spec.SwitchIpAddress)
	set(&info.ExtensionKey, spec.ExtensionKey)
	set(&info.NetworkOffloadSpecId, spec.NetworkOffloadSpecId)
	set(&info.NetworkResourceControlVersion, spec.NetworkResourceControlVersion)
	if spec.NumStandalonePorts != 0 {
		info.NumStandalonePorts = spec.NumStandalonePorts
	}
	if spec.MaxPorts != 0 {
		info.MaxPorts = spec.MaxPorts
	}
	return nil
}

func (s *dvSwitch) changePvlan(change types.VMwareDVSPvlanConfigSpec) vimFault {
	info := s.config()
	at := -1
	for i, entry := range info.PvlanConfig {
		if entry.PrimaryVlanId == change.PvlanEntry.PrimaryVlanId && entry.SecondaryVlanId == change.PvlanEntry.SecondaryVlanId {
			at = i
		}
	}
	switch {
	case change.Operation == "add" && at >= 0:
		return &types.AlreadyExists{Name: strconv.Itoa(int(change.PvlanEntry.SecondaryVlanId))}
	case change.Operation == "add":
		info.PvlanConfig = append(info.PvlanConfig, change.PvlanEntry)
	case at < 0:
		return &types.NotFound{}
	case change.Operation == "remove":
		info.PvlanConfig = append(info.PvlanConfig[:at:at], info.PvlanConfig[at+1:]...)
	default:
		info.PvlanConfig[at] = change.PvlanEntry
	}
	return nil
}

func (s *dvSwitch) changeMirror(change types.VMwareDVSVspanConfigSpec) {
	info := s.config()
	session := change.VspanSession
	if session.Key == "" {
		session.Key = uuid.New().String()
	}
	var kept []types.VMwareVspanSession
	for _, have := range info.VspanSession {
		if have.Key != session.Key {
			kept = append(kept, have)
		}
	}
	if change.Operation != "remove" {
		kept = append(kept, session)
	}
	info.VspanSession = kept
}

// nextVersion counts a configVersion up.
func nextVersion(version string) string {
	n, _ := strconv.Atoi(version)
	return strconv.Itoa(n + 1)
}

// stale refuses a change that was made against an older configuration.
func stale(given, current string) vimFault {
	if given != "" && given != current {
		return &types.ConcurrentAccess{}
	}
	return nil
}

func dvsSpec8(spec types.BaseDVSConfigSpec) *VMwareDVSConfigSpec {
	switch s := spec.(type) {
	case *VMwareDVSConfigSpec:
		return s
	case *types.VMwareDVSConfigSpec:
		return &VMwareDVSConfigSpec{VMwareDVSConfigSpec: *s}
	}
	made := &VMwareDVSConfigSpec{}
	made.DVSConfigSpec = *spec.GetDVSConfigSpec()
	return made
}

func dvsMethods(t *table) {
	ruleTypes()
	types.Add("VMwareDVSConfigSpec", typeOf(VMwareDVSConfigSpec{}))
	types.Add("VMwareDVSConfigInfo", typeOf(VMwareDVSConfigInfo{}))
	on(t, "CreateDVS_Task", func(c *call, req *types.CreateDVS_Task) (*types.CreateDVS_TaskResponse, vimFault) {
		folder := c.w.folder(c.this)
		if folder == nil || c.w.inv.esxi() {
			return nil, &types.NotSupported{}
		}
		task := c.w.do(c, c.this, "CreateDVS_Task", "Folder.createDistributedVirtualSwitch", func() (types.AnyType, vimFault) {
			s, fault := c.w.newSwitch(folder, dvsSpec8(req.Spec.ConfigSpec), req.Spec.ProductInfo)
			if fault != nil {
				return nil, fault
			}
			return s.Self, nil
		})
		return &types.CreateDVS_TaskResponse{Returnval: task}, nil
	})
	onType(t, "VmwareDistributedVirtualSwitch", "ReconfigureDvs_Task", func(c *call, req *types.ReconfigureDvs_Task) (*types.ReconfigureDvs_TaskResponse, vimFault) {
		s, spec := c.w.get(c.this).(*dvSwitch), dvsSpec8(req.Spec)
		task := c.w.do(c, c.this, "ReconfigureDvs_Task", "DistributedVirtualSwitch.reconfigure", func() (types.AnyType, vimFault) {
			return nil, c.w.reconfigureSwitch(s, spec)
		})
		return &types.ReconfigureDvs_TaskResponse{Returnval: task}, nil
	})
	onType(t, "VmwareDistributedVirtualSwitch", "Destroy_Task", func(c *call, _ *types.Destroy_Task) (*types.Destroy_TaskResponse, vimFault) {
		s := c.w.get(c.this).(*dvSwitch)
		task := c.w.do(c, c.this, "Destroy_Task", "DistributedVirtualSwitch.destroy", func() (types.AnyType, vimFault) {
			if s.used() {
				return nil, &types.ResourceInUse{Type: s.Self.Type, Name: s.Name}
			}
			c.w.destroySwitch(s)
			return nil, nil
		})
		return &types.Destroy_TaskResponse{Returnval: task}, nil
	})
}

func (w *world) reconfigureSwitch(s *dvSwitch, spec *VMwareDVSConfigSpec) vimFault {
	info := s.config()
	if fault := stale(spec.ConfigVersion, info.ConfigVersion); fault != nil {
		return fault
	}
	if spec.Name != "" && spec.Name != s.Name {
		if e := w.child(w.folder(*s.Parent), spec.Name); e != nil {
			return &types.DuplicateName{Name: spec.Name, Object: e.Reference()}
		}
		s.Name, info.Name = spec.Name, spec.Name
	}
	if fault := s.applySpec(spec); fault != nil {
		return fault
	}
	if spec.DefaultPortConfig != nil {
		merge(info.DefaultPortConfig, settingOf(spec.DefaultPortConfig))
	}
	if fault := w.changeMembers(s, spec.Host); fault != nil {
		return fault
	}
	for _, r := range s.order {
		w.makeUplinks(s, r) // there may be more uplinks now
	}
	info.ConfigVersion = nextVersion(info.ConfigVersion)
	w.refreshMembers(s)
	return nil
}

// used says whether anything but uplinks is connected.
func (s *dvSwitch) used() bool {
	for _, p := range s.ports {
		if p.vm != nil {
			return true
		}
	}
	return false
}

func (w *world) destroySwitch(s *dvSwitch) {
	for _, r := range append([]ref(nil), s.Portgroup...) {
		if pg := w.portgroup(r.Value); pg != nil {
			w.destroyPortgroup(s, pg)
		}
	}
	for _, r := range s.order {
		w.touch(r, *w.host(r).ConfigManager.NetworkSystem)
	}
	delete(w.switches, s.Uuid)
	w.remove(s)
}
