// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"reflect"
	"sort"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// everything lists all objects of a type, whether the inventory tree has them or not.
func (w *world) everything(kind string) (list []ref) {
	switch kind {
	case "HostNetworkSystem", "HostAutoStartManager":
		for _, r := range w.hosts.order {
			h := w.host(r)
			if kind == "HostNetworkSystem" {
				list = append(list, *h.ConfigManager.NetworkSystem)
			} else {
				list = append(list, *h.ConfigManager.AutoStartManager)
			}
		}
	case "ExtensionManager", "OptionManager", "CustomFieldsManager":
		content := w.service.Content
		for _, r := range []*ref{content.ExtensionManager, content.Setting, content.CustomFieldsManager} {
			if r != nil && r.Type == kind {
				list = append(list, *r)
			}
		}
	default:
		for _, e := range simulator.Map.All(kind) {
			list = append(list, e.Reference())
		}
	}
	return list
}

// restore lays the records over the inventory that the file made: what was deleted goes, what was made comes back.
func (w *world) restore(records []*record) error {
	order := map[string]int{"Folder": 0, "HostSystem": 1, "HostNetworkSystem": 2, "Network": 3, "VmwareDistributedVirtualSwitch": 4,
		"DistributedVirtualPortgroup": 5, portRecordType: 6, "VirtualMachine": 7}
	rank := func(r *record) int {
		if n, ok := order[r.Type]; ok {
			return n
		}
		return len(order)
	}
	sort.SliceStable(records, func(i, j int) bool { return rank(records[i]) < rank(records[j]) })
	for _, rec := range records {
		if rec.Next > w.next {
			w.next = rec.Next
		}
		if rec.MAC > w.mac {
			w.mac = rec.MAC
		}
	}
	w.forgetConnections()
	for _, rec := range records {
		if rec.Gone {
			w.forget(ref{Type: rec.Type, Value: rec.Value})
		}
	}
	for _, rec := range records {
		if rec.Gone {
			continue
		}
		if err := w.bringBack(rec); err != nil {
			return fmt.Errorf("%s %s: %v", rec.Type, rec.Value, err)
		}
	}
	for _, s := range w.switches {
		w.settleSwitch(s)
	}
	for _, r := range w.hosts.order {
		w.settle(w.host(r))
	}
	for _, s := range w.switches {
		w.refreshMembers(s)
	}
	return nil
}

// forgetConnections frees all ports, since the VMs' records say who has which.
func (w *world) forgetConnections() {
	for _, r := range w.everything("VirtualMachine") {
		w.unindex(r)
	}
	for _, s := range w.switches {
		s.ports, s.free, s.nextPort = map[string]*dvPort{}, map[string][]*dvPort{}, 0
		for _, r := range s.Portgroup {
			w.portgroup(r.Value).PortKeys = nil
		}
	}
}

func (w *world) forget(r ref) {
	switch e := w.get(r).(type) {
	case *dvSwitch:
		delete(w.switches, e.Uuid)
		w.remove(e)
	case *dvPortgroup:
		if s, ok := w.get(*e.Config.DistributedVirtualSwitch).(*dvSwitch); ok {
			simulator.RemoveReference(&s.Portgroup, r)
		}
		w.remove(e)
	case *mo.Network:
		if dc := w.datacenterOf(e); dc != nil {
			delete(w.standard[dc.Self], e.Name)
		}
		w.remove(e)
	case mo.Entity:
		w.remove(e)
	}
}

// blank makes an object of the types that may be made while the program runs.
func (w *world) blank(r ref) mo.Entity {
	switch r.Type {
	case "Folder":
		return &simulator.Folder{}
	case "Network":
		return &mo.Network{}
	case "VmwareDistributedVirtualSwitch":
		return &dvSwitch{members: map[ref]*dvMember{}, ports: map[string]*dvPort{}, free: map[string][]*dvPort{}}
	case "DistributedVirtualPortgroup":
		return &dvPortgroup{}
	case "VirtualMachine":
		return &simulator.VirtualMachine{}
	}
	return nil
}

func (w *world) bringBack(rec *record) error {
	if rec.Type == portRecordType {
		return w.bringPort(rec)
	}
	content, err := contentOf(rec.Content)
	if err != nil {
		return err
	}
	r := ref{Type: rec.Type, Value: rec.Value}
	obj := w.get(r)
	made := obj == nil
	if made {
		e := w.blank(r)
		if e == nil {
			return nil // the inventory file no longer has it
		}
		obj = e
	}
	load(obj, content)
	if made {
		e := obj.(mo.Entity)
		parent := w.folder(*e.Entity().Parent)
		if parent == nil {
			return fmt.Errorf("its folder is gone")
		}
		w.put(parent, e)
	}
	w.touch(r)
	w.settleObject(obj, rec)
	return nil
}

// load sets the properties of an object.
func load(obj mo.Reference, content *types.ObjectContent) {
	v := managed(obj)
	changes := make([]types.PropertyChange, 0, len(content.PropSet))
	for _, p := range content.PropSet {
		changes = append(changes, types.PropertyChange{Name: p.Name, Val: p.Val})
	}
	target := v.Addr().Interface().(mo.Reference)
	if target.Reference().Type == "" {
		v.FieldByName("Self").Set(reflect.ValueOf(content.Obj))
	}
	mo.ApplyPropertyChange(target, changes)
}

// settleObject makes what follows from the properties that were loaded.
func (w *world) settleObject(obj mo.Reference, rec *record) {
	switch o := obj.(type) {
	case *mo.Network:
		o.ManagedEntity.Name = o.Name
		o.Summary = &types.NetworkSummary{Network: &o.Self, Name: o.Name, Accessible: true}
		dc := w.datacenterOf(o)
		if w.standard[dc.Self] == nil {
			w.standard[dc.Self] = map[string]*mo.Network{}
		}
		w.standard[dc.Self][o.Name] = o
	case *simulator.HostNetworkSystem:
		h := w.hostOf(o)
		h.Config.Network = o.NetworkInfo
	case *simulator.HostSystem:
		if rec.Dead {
			w.hosts.dead[o.Self] = true
		}
		o.Summary.Runtime = &o.Runtime
	case *dvSwitch:
		w.switches[o.Uuid] = o
	case *dvPortgroup:
		o.ManagedEntity.Name = o.Name
		o.Summary = &types.NetworkSummary{Network: &o.Self, Name: o.Name, Accessible: true}
		s := w.dvsOf(o)
		if !hasRef(s.Portgroup, o.Self) {
			s.Portgroup = append(s.Portgroup, o.Self)
		}
		for _, key := range o.PortKeys {
			p := &dvPort{dvs: s, pg: o, key: key, version: "0"}
			s.ports[key] = p
			if !o.isUplink(s) {
				s.free[o.Key] = append(s.free[o.Key], p)
			}
			if n := number32(key); n >= s.nextPort {
				s.nextPort = n + 1
			}
		}
	case *simulator.VirtualMachine:
		for _, card := range cards(o) {
			if p := w.portOf(card); p != nil {
				p.dvs.unfree(p)
				p.vm, p.nic, p.host = &o.Self, card.GetVirtualEthernetCard().Key, o.Runtime.Host
				w.touchPort(p)
			}
		}
		w.summarise(o)
	}
}

func (w *world) bringPort(rec *record) error {
	parts := strings.SplitN(rec.Value, "/", 2)
	s := w.switches[parts[0]]
	if s == nil || len(parts) < 2 || s.ports[parts[1]] == nil {
		return nil
	}
	p := s.ports[parts[1]]
	p.version, p.name, p.description, p.cookie = rec.Port.Version, rec.Port.Name, rec.Port.Description, rec.Port.Cookie
	if rec.Content == "" {
		return nil
	}
	content, err := contentOf(rec.Content)
	if err != nil {
		return err
	}
	if setting, ok := content.PropSet[0].Val.(types.VMwareDVSPortSetting); ok {
		p.setting = &setting
	}
	return nil
}

// settleSwitch takes the members from the configuration.
func (w *world) settleSwitch(s *dvSwitch) {
	s.members, s.order = map[ref]*dvMember{}, nil
	for _, member := range s.config().Host {
		if member.Config.Host == nil || w.host(*member.Config.Host) == nil {
			continue
		}
		r := *member.Config.Host
		m := &dvMember{uplinks: member.UplinkPortKey}
		if backing, ok := member.Config.Backing.(*types.DistributedVirtualSwitchHostMemberPnicBacking); ok {
			for _, p := range backing.PnicSpec {
				m.pnics = append(m.pnics, p.PnicDevice)
			}
		}
		s.members[r], s.order = m, append(s.order, r)
		for i, key := range m.uplinks {
			if p := s.ports[key]; p != nil {
				p.host = pointer(r)
				if i < len(m.pnics) {
					p.pnic = m.pnics[i]
				}
			}
		}
	}
}
