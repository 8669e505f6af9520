// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// licences by the word in the inventory: the edition's key, its name, and what it allows.
var licences = map[string]struct {
	edition, name string
	features      []string
}{
	"enterprise-plus": {"esx.enterprisePlus.cpuPackageCoreLimited", "VMware vSphere Enterprise Plus", []string{"dvs", "vmotion", "drs"}},
	"standard":        {"esx.standard.cpuPackageCoreLimited", "VMware vSphere Standard", []string{"vmotion"}},
	"free":            {"esxBasic", "VMware vSphere Hypervisor", nil},
	"evaluation":      {"eval", "Evaluation Mode", []string{"dvs", "vmotion", "drs"}},
}

func (w *world) licenceOf(host ref) types.LicenseManagerLicenseInfo {
	word := w.licenceWords[host]
	l, ok := licences[word]
	if !ok {
		l = licences["evaluation"]
	}
	info := types.LicenseManagerLicenseInfo{LicenseKey: "00000-00000-00000-00000-00000", EditionKey: l.edition, Name: l.name, CostUnit: "cpuPackage"}
	for _, feature := range l.features {
		info.Properties = append(info.Properties, types.KeyAnyValue{Key: "feature", Value: types.KeyValue{Key: feature, Value: feature}})
	}
	return info
}

// listLicences tells the licence manager which licences there are. A lone host has no other way to tell its edition.
func (w *world) listLicences() {
	m, ok := w.get(*w.service.Content.LicenseManager).(*simulator.LicenseManager)
	if !ok {
		return
	}
	m.Licenses = nil
	seen := map[string]bool{}
	for _, r := range w.hosts.order {
		if info := w.licenceOf(r); !seen[info.EditionKey] {
			seen[info.EditionKey] = true
			m.Licenses = append(m.Licenses, info)
		}
	}
}

// licensed says whether the host may use the feature.
func (w *world) licensed(h *simulator.HostSystem, feature string) bool {
	l, ok := licences[w.licenceWords[h.Self]]
	return !ok || contains(l.features, feature)
}

func licenceMethods(t *table) {
	on(t, "QueryAssignedLicenses", func(c *call, req *types.QueryAssignedLicenses) (*types.QueryAssignedLicensesResponse, vimFault) {
		response := &types.QueryAssignedLicensesResponse{}
		for _, r := range c.w.hosts.order {
			if req.EntityId == "" || req.EntityId == r.Value {
				response.Returnval = append(response.Returnval, types.LicenseAssignmentManagerLicenseAssignment{
					EntityId: r.Value, EntityDisplayName: c.w.host(r).Name, AssignedLicense: c.w.licenceOf(r),
				})
			}
		}
		return response, nil
	})
}

func extensions(c *call) *mo.ExtensionManager {
	m, _ := c.w.get(c.this).(*mo.ExtensionManager)
	return m
}

func extensionMethods(t *table) {
	find := func(m *mo.ExtensionManager, key string) int {
		for i := range m.ExtensionList {
			if m.ExtensionList[i].Key == key {
				return i
			}
		}
		return -1
	}
	on(t, "FindExtension", func(c *call, req *types.FindExtension) (*types.FindExtensionResponse, vimFault) {
		m := extensions(c)
		if i := find(m, req.ExtensionKey); i >= 0 {
			return &types.FindExtensionResponse{Returnval: &m.ExtensionList[i]}, nil
		}
		return &types.FindExtensionResponse{}, nil
	})
	on(t, "RegisterExtension", func(c *call, req *types.RegisterExtension) (*types.RegisterExtensionResponse, vimFault) {
		m := extensions(c)
		if find(m, req.Extension.Key) >= 0 {
			return nil, &types.InvalidArgument{InvalidProperty: "extension.key"}
		}
		m.ExtensionList = append(m.ExtensionList, req.Extension)
		c.w.touch(c.this)
		return &types.RegisterExtensionResponse{}, nil
	})
	on(t, "UpdateExtension", func(c *call, req *types.UpdateExtension) (*types.UpdateExtensionResponse, vimFault) {
		m := extensions(c)
		i := find(m, req.Extension.Key)
		if i < 0 {
			return nil, &types.NotFound{}
		}
		m.ExtensionList[i] = req.Extension
		c.w.touch(c.this)
		return &types.UpdateExtensionResponse{}, nil
	})
	on(t, "UnregisterExtension", func(c *call, req *types.UnregisterExtension) (*types.UnregisterExtensionResponse, vimFault) {
		m := extensions(c)
		i := find(m, req.ExtensionKey)
		if i < 0 {
			return nil, &types.NotFound{}
		}
		m.ExtensionList = append(m.ExtensionList[:i:i], m.ExtensionList[i+1:]...)
		c.w.touch(c.this)
		return &types.UnregisterExtensionResponse{}, nil
	})
}
