// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math/rand"
	"reflect"
	"sort"
	"strconv"
	"time"

	"github.com/vmware/govmomi/vim25/types"
)

// dvPort is one port of a distributed switch. Its number is its own within the switch and never given again.
type dvPort struct {
	dvs         *dvSwitch
	pg          *dvPortgroup
	key         string
	name        string
	description string
	setting     *types.VMwareDVSPortSetting // what it overrides; nil: nothing
	version     string
	cookie      int32
	vm          *ref // the VM connected to it, with the key of its NIC
	nic         int32
	pnic        string // of an uplink port
	host        *ref   // where it is
	changed     time.Time
}

func (p *dvPort) id() string { return p.dvs.Uuid + "/" + p.key }

func (w *world) makePort(s *dvSwitch, pg *dvPortgroup) *dvPort {
	p := &dvPort{dvs: s, pg: pg, key: strconv.Itoa(s.nextPort), version: "0", changed: time.Now().UTC()}
	s.nextPort++
	s.ports[p.key] = p
	if !pg.isUplink(s) {
		s.free[pg.Key] = append(s.free[pg.Key], p)
	}
	pg.PortKeys = append(pg.PortKeys, p.key)
	pg.Config.NumPorts = int32(len(pg.PortKeys))
	s.config().NumPorts = int32(len(s.ports))
	w.touch(pg.Self)
	return p
}

func (w *world) deletePort(s *dvSwitch, p *dvPort) {
	delete(s.ports, p.key)
	s.unfree(p)
	for i, key := range p.pg.PortKeys {
		if key == p.key {
			p.pg.PortKeys = append(p.pg.PortKeys[:i:i], p.pg.PortKeys[i+1:]...)
			break
		}
	}
	p.pg.Config.NumPorts = int32(len(p.pg.PortKeys))
	s.config().NumPorts = int32(len(s.ports))
	w.touch(p.pg.Self)
	w.touchPort(p)
}

func (s *dvSwitch) unfree(p *dvPort) {
	free := s.free[p.pg.Key]
	for i := range free {
		if free[i] == p {
			s.free[p.pg.Key] = append(free[:i:i], free[i+1:]...)
			return
		}
	}
}

// pick finds a port for a NIC: the one asked for, or the first free one, or a new one where the group may grow.
func (w *world) pick(s *dvSwitch, pg *dvPortgroup, wanted string, vm ref, nic int32) (*dvPort, vimFault) {
	if wanted != "" {
		p := s.ports[wanted]
		switch {
		case p == nil || p.pg != pg:
			return nil, &types.NotFound{}
		case p.vm != nil && !(*p.vm == vm && p.nic == nic):
			return nil, &types.ResourceInUse{Type: "DistributedVirtualPort", Name: wanted}
		}
		return p, nil
	}
	if free := s.free[pg.Key]; len(free) > 0 {
		return free[0], nil
	}
	if pg.Config.Type == "ephemeral" || yes(pg.Config.AutoExpand) {
		return w.makePort(s, pg), nil
	}
	return nil, &types.DvsFault{}
}

func (w *world) occupy(p *dvPort, vm ref, nic int32, host *ref) {
	if p.vm == nil {
		p.dvs.unfree(p)
		p.cookie = rand.Int31()
	}
	p.vm, p.nic, p.host, p.changed = pointer(vm), nic, host, time.Now().UTC()
	w.touchPort(p)
	w.touch(p.pg.Self)
}

// release frees the port. What it overrode goes, if its group says so.
func (w *world) release(p *dvPort) {
	p.vm, p.nic, p.host, p.cookie, p.changed = nil, 0, nil, 0, time.Now().UTC()
	if p.pg.policy().PortConfigResetAtDisconnect && p.setting != nil {
		p.setting = nil
		p.version = nextVersion(p.version)
	}
	w.counters.forget(p.id())
	w.touchPort(p)
	w.touch(p.pg.Self)
	if p.pg.Config.Type == "ephemeral" {
		w.deletePort(p.dvs, p)
		return
	}
	free := append(p.dvs.free[p.pg.Key], p)
	sort.Slice(free, func(i, j int) bool { return number32(free[i].key) < number32(free[j].key) })
	p.dvs.free[p.pg.Key] = free
}

func number32(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

// effective is the setting in force: the port group's with the port's own over it.
func (p *dvPort) effective() *types.VMwareDVSPortSetting {
	if p.setting == nil {
		return p.pg.setting()
	}
	s := cloned(p.pg.setting())
	merge(s, p.setting)
	agree(s, p.setting)
	return s
}

// reported is the setting as a client reads it: what comes from the port group is marked inherited.
func (p *dvPort) reported() *types.VMwareDVSPortSetting {
	s := cloned(p.pg.setting())
	inherit(reflect.ValueOf(s))
	if p.setting != nil {
		merge(s, p.setting)
		agree(s, p.setting)
	}
	return s
}

// report is the port as a client reads it.
func (w *world) report(p *dvPort) types.DistributedVirtualPort {
	port := types.DistributedVirtualPort{
		Key: p.key, DvsUuid: p.dvs.Uuid, PortgroupKey: p.pg.Key, ProxyHost: p.host, ConnectionCookie: p.cookie, LastStatusChange: p.changed,
		Config: types.DVPortConfigInfo{Name: p.name, Description: p.description, Setting: p.reported(), ConfigVersion: p.version},
		State:  &types.DVPortState{Stats: w.counters.statistics(p.id(), w.settings.PortStatistics)},
	}
	status := &types.DVPortStatus{Blocked: blocked(p.effective()), Mtu: p.dvs.config().MaxMtu, TrunkingMode: types.NewBool(false)}
	switch vlan := p.effective().Vlan.(type) {
	case *types.VmwareDistributedVirtualSwitchVlanIdSpec:
		status.VlanIds = []types.NumericRange{{Start: vlan.VlanId, End: vlan.VlanId}}
	case *types.VmwareDistributedVirtualSwitchPvlanSpec:
		status.VlanIds = []types.NumericRange{{Start: vlan.PvlanId, End: vlan.PvlanId}}
	case *types.VmwareDistributedVirtualSwitchTrunkVlanSpec:
		status.VlanIds, status.TrunkingMode = vlan.VlanId, types.NewBool(true)
	}
	switch {
	case p.vm != nil:
		port.Connectee = &types.DistributedVirtualSwitchPortConnectee{ConnectedEntity: p.vm, NicKey: strconv.Itoa(int(p.nic)), Type: "vmVnic"}
		if vm := w.vm(*p.vm); vm != nil {
			if card := cardByKey(vm, p.nic); card != nil {
				status.MacAddress = card.GetVirtualEthernetCard().MacAddress
				status.LinkUp = w.linkUp(vm, card)
			}
		}
	case p.pnic != "":
		port.Connectee = &types.DistributedVirtualSwitchPortConnectee{ConnectedEntity: p.host, NicKey: p.pnic, Type: "pnic"}
		status.LinkUp = true
	}
	port.State.RuntimeInfo = status
	return port
}

func blocked(s *types.VMwareDVSPortSetting) bool { return s.Blocked != nil && yes(s.Blocked.Value) }

// matching lists the ports that meet all the criteria, in the order of their numbers.
func (w *world) matching(s *dvSwitch, c *types.DistributedVirtualSwitchPortCriteria) (list []*dvPort) {
	if c == nil {
		c = &types.DistributedVirtualSwitchPortCriteria{}
	}
	candidates := s.ports
	if len(c.PortKey) > 0 {
		candidates = map[string]*dvPort{}
		for _, key := range c.PortKey {
			if p := s.ports[key]; p != nil {
				candidates[key] = p
			}
		}
	}
	groups := map[string]bool{}
	for _, key := range c.PortgroupKey {
		groups[key] = true
	}
	same := func(want *bool, is bool) bool { return want == nil || *want == is }
	inside := c.Inside == nil || *c.Inside
	for _, p := range candidates {
		uplink := p.pg.isUplink(s)
		switch {
		case len(groups) > 0 && groups[p.pg.Key] != inside:
		case !same(c.Connected, p.vm != nil || p.pnic != ""):
		case c.Active != nil && *c.Active != w.active(p):
		case !same(c.UplinkPort, uplink):
		case !same(c.NsxPort, p.pg.Config.BackingType == "nsx"):
		case c.Scope != nil && !hasRef(p.pg.Config.Scope, *c.Scope):
		case len(c.Host) > 0 && (p.host == nil || !hasRef(c.Host, *p.host)):
		default:
			list = append(list, p)
		}
	}
	sort.Slice(list, func(i, j int) bool { return number32(list[i].key) < number32(list[j].key) })
	return list
}

func hasRef(list []ref, r ref) bool {
	for _, have := range list {
		if have == r {
			return true
		}
	}
	return false
}

func (w *world) active(p *dvPort) bool {
	if p.vm == nil {
		return p.pnic != ""
	}
	vm := w.vm(*p.vm)
	if vm == nil {
		return false
	}
	card := cardByKey(vm, p.nic)
	return card != nil && w.linkUp(vm, card)
}

// reconfigurePorts checks every spec before it changes any port.
func (w *world) reconfigurePorts(s *dvSwitch, specs []types.DVPortConfigSpec) vimFault {
	for i := range specs {
		p := s.ports[specs[i].Key]
		if p == nil {
			return &types.NotFound{}
		}
		if fault := stale(specs[i].ConfigVersion, p.version); fault != nil {
			return fault
		}
		given := cloned(settingOf(specs[i].Setting))
		dropInherited(given)
		if fault := overrideFault(p.pg.policy(), given); fault != nil {
			return fault
		}
		if fault := w.checkSetting(s, given); fault != nil {
			return fault
		}
	}
	for i := range specs {
		p, spec := s.ports[specs[i].Key], &specs[i]
		if spec.Name != "" {
			p.name = spec.Name
		}
		if spec.Description != "" {
			p.description = spec.Description
		}
		if spec.Setting != nil {
			setting := &types.VMwareDVSPortSetting{}
			if p.setting != nil {
				setting = p.setting
			}
			merge(setting, settingOf(spec.Setting))
			dropInherited(setting) // what is inherited again is no longer overridden
			p.setting = setting
			if setting.FilterPolicy != nil && len(setting.FilterPolicy.FilterConfig) == 0 {
				setting.FilterPolicy = nil
			}
		}
		p.version = nextVersion(p.version)
		w.touchPort(p)
	}
	w.touch(s.Self)
	return nil
}

func dvPortMethods(t *table) {
	const dvs = "VmwareDistributedVirtualSwitch"
	onType(t, dvs, "FetchDVPorts", func(c *call, req *types.FetchDVPorts) (*types.FetchDVPortsResponse, vimFault) {
		response := &types.FetchDVPortsResponse{}
		for _, p := range c.w.matching(c.w.get(c.this).(*dvSwitch), req.Criteria) {
			response.Returnval = append(response.Returnval, c.w.report(p))
		}
		return response, nil
	})
	onType(t, dvs, "FetchDVPortKeys", func(c *call, req *types.FetchDVPortKeys) (*types.FetchDVPortKeysResponse, vimFault) {
		response := &types.FetchDVPortKeysResponse{}
		for _, p := range c.w.matching(c.w.get(c.this).(*dvSwitch), req.Criteria) {
			response.Returnval = append(response.Returnval, p.key)
		}
		return response, nil
	})
	onType(t, dvs, "RefreshDVPortState", func(c *call, req *types.RefreshDVPortState) (*types.RefreshDVPortStateResponse, vimFault) {
		for _, key := range req.PortKeys {
			if c.w.get(c.this).(*dvSwitch).ports[key] == nil {
				return nil, &types.NotFound{}
			}
		}
		return &types.RefreshDVPortStateResponse{}, nil
	})
	onType(t, dvs, "ReconfigureDVPort_Task", func(c *call, req *types.ReconfigureDVPort_Task) (*types.ReconfigureDVPort_TaskResponse, vimFault) {
		s := c.w.get(c.this).(*dvSwitch)
		task := c.w.do(c, c.this, "ReconfigureDVPort_Task", "DistributedVirtualSwitch.reconfigurePort", func() (types.AnyType, vimFault) {
			return nil, c.w.reconfigurePorts(s, req.Port)
		})
		return &types.ReconfigureDVPort_TaskResponse{Returnval: task}, nil
	})
	onType(t, dvs, "QueryUsedVlanIdInDvs", func(c *call, _ *types.QueryUsedVlanIdInDvs) (*types.QueryUsedVlanIdInDvsResponse, vimFault) {
		return &types.QueryUsedVlanIdInDvsResponse{Returnval: c.w.usedVlans(c.w.get(c.this).(*dvSwitch))}, nil
	})
}
