// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/google/uuid"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// dvPortgroup is a distributed port group. Its ports are the switch's.
type dvPortgroup struct {
	mo.DistributedVirtualPortgroup
}

func (w *world) dvsOf(pg *dvPortgroup) *dvSwitch {
	return w.get(*pg.Config.DistributedVirtualSwitch).(*dvSwitch)
}

func (pg *dvPortgroup) setting() *types.VMwareDVSPortSetting {
	return settingOf(pg.Config.DefaultPortConfig)
}

func (pg *dvPortgroup) policy() *types.VMwareDVSPortgroupPolicy {
	return portgroupPolicy(pg.Config.Policy)
}

func portgroupPolicy(p types.BaseDVPortgroupPolicy) *types.VMwareDVSPortgroupPolicy {
	switch v := p.(type) {
	case nil:
		return &types.VMwareDVSPortgroupPolicy{DVPortgroupPolicy: types.DVPortgroupPolicy{BlockOverrideAllowed: true, PortConfigResetAtDisconnect: true}}
	case *types.VMwareDVSPortgroupPolicy:
		return v
	}
	return &types.VMwareDVSPortgroupPolicy{DVPortgroupPolicy: *p.GetDVPortgroupPolicy()}
}

// newPortgroup makes a port group and, unless it is ephemeral, its ports.
func (w *world) newPortgroup(s *dvSwitch, spec *types.DVPortgroupConfigSpec) (*dvPortgroup, vimFault) {
	folder := w.folder(*s.Parent)
	if spec.Name == "" {
		return nil, &types.InvalidName{Name: spec.Name}
	}
	if e := w.child(folder, spec.Name); e != nil {
		return nil, &types.DuplicateName{Name: spec.Name, Object: e.Reference()}
	}
	kind := spec.Type
	switch kind {
	case "":
		kind = "earlyBinding"
	case "earlyBinding", "lateBinding", "ephemeral":
	default:
		return nil, &types.InvalidArgument{InvalidProperty: "spec.type"}
	}
	given := settingOf(spec.DefaultPortConfig)
	if fault := w.checkSetting(s, given); fault != nil {
		return nil, fault
	}
	setting := cloned(settingOf(s.config().DefaultPortConfig))
	merge(setting, given)
	agree(setting, given)
	pg := &dvPortgroup{}
	pg.Self = w.newRef("DistributedVirtualPortgroup", "dvportgroup")
	pg.Name, pg.Key = spec.Name, pg.Self.Value
	pg.Entity().Name = spec.Name
	pg.Summary = &types.NetworkSummary{Network: &pg.Self, Name: spec.Name, Accessible: true}
	pg.Config = types.DVPortgroupConfigInfo{
		Key: pg.Key, Name: spec.Name, DistributedVirtualSwitch: &s.Self, DefaultPortConfig: setting, Type: kind, ConfigVersion: "0",
		Policy: cloned(portgroupPolicy(spec.Policy)), Description: spec.Description, PortNameFormat: spec.PortNameFormat,
		AutoExpand: spec.AutoExpand, BackingType: spec.BackingType, LogicalSwitchUuid: spec.LogicalSwitchUuid, SegmentId: spec.SegmentId,
		TransportZoneUuid: spec.TransportZoneUuid, TransportZoneName: spec.TransportZoneName, Scope: spec.Scope,
		VendorSpecificConfig: spec.VendorSpecificConfig, Uplink: types.NewBool(false),
	}
	if pg.Config.BackingType == "" {
		pg.Config.BackingType = "standard"
	}
	if pg.Config.BackingType == "nsx" && pg.Config.LogicalSwitchUuid == "" {
		pg.Config.LogicalSwitchUuid = uuid.New().String()
	}
	if pg.Config.AutoExpand == nil {
		pg.Config.AutoExpand = types.NewBool(kind == "earlyBinding")
	}
	w.put(folder, pg)
	s.Portgroup = append(s.Portgroup, pg.Self)
	if kind != "ephemeral" {
		w.resize(s, pg, spec.NumPorts)
	}
	for _, r := range s.order {
		w.touch(r, *w.host(r).Parent)
	}
	w.touch(pg.Self, s.Self, w.datacenterOf(s).Self)
	return pg, nil
}

// resize makes or deletes free ports until the group has that many; ports in use stay.
func (w *world) resize(s *dvSwitch, pg *dvPortgroup, want int32) {
	for int32(len(pg.PortKeys)) < want {
		w.makePort(s, pg)
	}
	for int32(len(pg.PortKeys)) > want && len(s.free[pg.Key]) > 0 {
		free := s.free[pg.Key]
		w.deletePort(s, free[len(free)-1])
	}
}

// reconfigurePortgroup merges the spec into the configuration, as the real one does.
func (w *world) reconfigurePortgroup(pg *dvPortgroup, spec *types.DVPortgroupConfigSpec) vimFault {
	s, config := w.dvsOf(pg), &pg.Config
	if fault := stale(spec.ConfigVersion, config.ConfigVersion); fault != nil {
		return fault
	}
	if spec.Name != "" && spec.Name != pg.Name {
		if fault := w.renamePortgroup(pg, spec.Name); fault != nil {
			return fault
		}
	}
	if spec.Type != "" && spec.Type != config.Type && len(w.use(pg.Self).vms) > 0 {
		return &types.ResourceInUse{Type: pg.Self.Type, Name: pg.Name}
	}
	if spec.DefaultPortConfig != nil {
		given := settingOf(spec.DefaultPortConfig)
		if fault := w.checkSetting(s, given); fault != nil {
			return fault
		}
		setting := pg.setting()
		merge(setting, given)
		agree(setting, given)
		config.DefaultPortConfig = setting
	}
	if spec.Policy != nil {
		policy := cloned(pg.policy())
		merge(policy, portgroupPolicy(spec.Policy))
		config.Policy = policy
	}
	if spec.Type != "" {
		config.Type = spec.Type
	}
	if spec.Description != "" {
		config.Description = spec.Description
	}
	if spec.PortNameFormat != "" {
		config.PortNameFormat = spec.PortNameFormat
	}
	if spec.AutoExpand != nil {
		config.AutoExpand = spec.AutoExpand
	}
	if spec.Scope != nil {
		config.Scope = spec.Scope
	}
	if spec.NumPorts != 0 && config.Type != "ephemeral" {
		w.resize(s, pg, spec.NumPorts)
	}
	config.ConfigVersion = nextVersion(config.ConfigVersion)
	for _, key := range pg.PortKeys {
		if p := s.ports[key]; p.vm != nil {
			w.touchPort(p)
		}
	}
	w.touch(pg.Self)
	return nil
}

func (w *world) renamePortgroup(pg *dvPortgroup, name string) vimFault {
	if e := w.child(w.folder(*pg.Parent), name); e != nil {
		return &types.DuplicateName{Name: name, Object: e.Reference()}
	}
	pg.Name, pg.Config.Name = name, name
	pg.Entity().Name = name
	pg.Summary.GetNetworkSummary().Name = name
	w.touch(pg.Self, *pg.Config.DistributedVirtualSwitch)
	return nil
}

func (w *world) destroyPortgroup(s *dvSwitch, pg *dvPortgroup) {
	for _, key := range append([]string(nil), pg.PortKeys...) {
		w.deletePort(s, s.ports[key])
	}
	simulator.RemoveReference(&s.Portgroup, pg.Self)
	delete(s.free, pg.Key)
	delete(w.networks, pg.Self)
	for _, r := range s.order {
		w.touch(r, *w.host(r).Parent)
	}
	w.touch(s.Self, w.datacenterOf(s).Self)
	w.remove(pg)
}

func (pg *dvPortgroup) isUplink(s *dvSwitch) bool {
	return simulator.FindReference(s.config().UplinkPortgroup, pg.Self) != nil
}

func dvPortgroupMethods(t *table) {
	on(t, "AddDVPortgroup_Task", func(c *call, req *types.AddDVPortgroup_Task) (*types.AddDVPortgroup_TaskResponse, vimFault) {
		specs := req.Spec
		task, fault := addPortgroups(c, specs, "AddDVPortgroup_Task")
		return &types.AddDVPortgroup_TaskResponse{Returnval: task}, fault
	})
	on(t, "CreateDVPortgroup_Task", func(c *call, req *types.CreateDVPortgroup_Task) (*types.CreateDVPortgroup_TaskResponse, vimFault) {
		task, fault := addPortgroups(c, []types.DVPortgroupConfigSpec{req.Spec}, "CreateDVPortgroup_Task")
		return &types.CreateDVPortgroup_TaskResponse{Returnval: task}, fault
	})
	on(t, "ReconfigureDVPortgroup_Task", func(c *call, req *types.ReconfigureDVPortgroup_Task) (*types.ReconfigureDVPortgroup_TaskResponse, vimFault) {
		pg := c.w.portgroup(c.this.Value)
		if pg == nil {
			return nil, &types.ManagedObjectNotFound{Obj: c.this}
		}
		task := c.w.do(c, c.this, "ReconfigureDVPortgroup_Task", "DistributedVirtualPortgroup.reconfigure", func() (types.AnyType, vimFault) {
			return nil, c.w.reconfigurePortgroup(pg, &req.Spec)
		})
		return &types.ReconfigureDVPortgroup_TaskResponse{Returnval: task}, nil
	})
	onType(t, "DistributedVirtualPortgroup", "Destroy_Task", func(c *call, _ *types.Destroy_Task) (*types.Destroy_TaskResponse, vimFault) {
		pg := c.w.portgroup(c.this.Value)
		if pg == nil {
			return nil, &types.ManagedObjectNotFound{Obj: c.this}
		}
		s := c.w.dvsOf(pg)
		task := c.w.do(c, c.this, "Destroy_Task", "DistributedVirtualPortgroup.destroy", func() (types.AnyType, vimFault) {
			if pg.isUplink(s) || len(c.w.use(pg.Self).vms) > 0 {
				return nil, &types.ResourceInUse{Type: pg.Self.Type, Name: pg.Name}
			}
			c.w.destroyPortgroup(s, pg)
			return nil, nil
		})
		return &types.Destroy_TaskResponse{Returnval: task}, nil
	})
	onType(t, "DistributedVirtualPortgroup", "Rename_Task", func(c *call, req *types.Rename_Task) (*types.Rename_TaskResponse, vimFault) {
		pg := c.w.portgroup(c.this.Value)
		if pg == nil {
			return nil, &types.ManagedObjectNotFound{Obj: c.this}
		}
		task := c.w.do(c, c.this, "Rename_Task", "ManagedEntity.rename", func() (types.AnyType, vimFault) {
			return nil, c.w.renamePortgroup(pg, req.NewName)
		})
		return &types.Rename_TaskResponse{Returnval: task}, nil
	})
	onType(t, "VmwareDistributedVirtualSwitch", "Rename_Task", func(c *call, req *types.Rename_Task) (*types.Rename_TaskResponse, vimFault) {
		s := c.w.get(c.this).(*dvSwitch)
		task := c.w.do(c, c.this, "Rename_Task", "ManagedEntity.rename", func() (types.AnyType, vimFault) {
			spec := &VMwareDVSConfigSpec{}
			spec.Name = req.NewName
			return nil, c.w.reconfigureSwitch(s, spec)
		})
		return &types.Rename_TaskResponse{Returnval: task}, nil
	})
}

// addPortgroups makes all of them or none.
func addPortgroups(c *call, specs []types.DVPortgroupConfigSpec, method string) (ref, vimFault) {
	s, ok := c.w.get(c.this).(*dvSwitch)
	if !ok {
		return ref{}, &types.ManagedObjectNotFound{Obj: c.this}
	}
	return c.w.do(c, c.this, method, "DistributedVirtualSwitch.addPortgroups", func() (types.AnyType, vimFault) {
		var made []*dvPortgroup
		for i := range specs {
			pg, fault := c.w.newPortgroup(s, &specs[i])
			if fault != nil {
				for _, pg := range made {
					c.w.destroyPortgroup(s, pg)
				}
				return nil, fault
			}
			made = append(made, pg)
		}
		if method == "CreateDVPortgroup_Task" {
			return made[0].Self, nil
		}
		return nil, nil
	}), nil
}
