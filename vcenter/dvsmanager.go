// SPDX-License-Identifier: Apache-2.0

package main

import (
	"sort"

	"github.com/vmware/govmomi/vim25/types"
)

// usedVlans are the numbers that port groups and ports use, trunks left out.
func (w *world) usedVlans(s *dvSwitch) (list []int32) {
	seen := map[int32]bool{}
	note := func(setting *types.VMwareDVSPortSetting) {
		if vlan, ok := setting.Vlan.(*types.VmwareDistributedVirtualSwitchVlanIdSpec); ok && vlan.VlanId > 0 && !seen[vlan.VlanId] {
			seen[vlan.VlanId] = true
			list = append(list, vlan.VlanId)
		}
	}
	for _, r := range s.Portgroup {
		note(w.portgroup(r.Value).setting())
	}
	for _, p := range s.ports {
		if p.setting != nil {
			note(p.setting)
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i] < list[j] })
	return list
}

func dvsManagerMethods(t *table) {
	on(t, "QueryDvsByUuid", func(c *call, req *types.QueryDvsByUuid) (*types.QueryDvsByUuidResponse, vimFault) {
		s := c.w.switches[req.Uuid]
		if s == nil {
			return nil, &types.NotFound{}
		}
		return &types.QueryDvsByUuidResponse{Returnval: &s.Self}, nil
	})
	on(t, "DVSManagerLookupDvPortGroup", func(c *call, req *types.DVSManagerLookupDvPortGroup) (*types.DVSManagerLookupDvPortGroupResponse, vimFault) {
		s, pg := c.w.switches[req.SwitchUuid], c.w.portgroup(req.PortgroupKey)
		if s == nil || pg == nil || c.w.dvsOf(pg) != s {
			return nil, &types.NotFound{}
		}
		return &types.DVSManagerLookupDvPortGroupResponse{Returnval: &pg.Self}, nil
	})
	on(t, "QueryAvailableDvsSpec", func(c *call, _ *types.QueryAvailableDvsSpec) (*types.QueryAvailableDvsSpecResponse, vimFault) {
		response := &types.QueryAvailableDvsSpecResponse{}
		for i := len(dvsVersions) - 1; i >= 0; i-- {
			if v := dvsVersions[i]; notOlder(c.w.inv.Version, v[1]) && notOlder(v[0], "6.5.0") {
				response.Returnval = append(response.Returnval, types.DistributedVirtualSwitchProductSpec{
					Name: "DVS", Vendor: "VMware, Inc.", Version: v[0], Build: "1", ForwardingClass: "etherswitch",
				})
			}
		}
		return response, nil
	})
	const dvs = "VmwareDistributedVirtualSwitch"
	onType(t, dvs, "UpdateDVSHealthCheckConfig_Task", func(c *call, req *types.UpdateDVSHealthCheckConfig_Task) (*types.UpdateDVSHealthCheckConfig_TaskResponse, vimFault) {
		s := c.w.get(c.this).(*dvSwitch)
		task := c.w.do(c, c.this, "UpdateDVSHealthCheckConfig_Task", "DistributedVirtualSwitch.updateHealthCheckConfig", func() (types.AnyType, vimFault) {
			s.config().HealthCheckConfig = req.HealthCheckConfig
			c.w.touch(s.Self)
			return nil, nil
		})
		return &types.UpdateDVSHealthCheckConfig_TaskResponse{Returnval: task}, nil
	})
	onType(t, dvs, "EnableNetworkResourceManagement", func(c *call, req *types.EnableNetworkResourceManagement) (*types.EnableNetworkResourceManagementResponse, vimFault) {
		s := c.w.get(c.this).(*dvSwitch)
		s.config().NetworkResourceManagementEnabled = types.NewBool(req.Enable)
		c.w.touch(s.Self)
		return &types.EnableNetworkResourceManagementResponse{}, nil
	})
}
