// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// pinsItem is what clusters and hosts say of single VMs. It matters to no frame, so it is no part of the state.
type pinsItem struct {
	Groups    map[string]map[string][]string          `json:"groups"` // by cluster and group: VMs or hosts
	Rules     map[string]map[string]ruleOut           `json:"rules"`  // by cluster and rule
	Overrides map[string]map[string]map[string]string `json:"overrides"`
	Autostart map[string][]string                     `json:"autostart"` // by host, where autostart is on
}

type ruleOut struct {
	Enabled   bool   `json:"enabled"`
	Mandatory bool   `json:"mandatory"`
	VMs       string `json:"vms"`
	Hosts     string `json:"hosts"`
}

// pins tells it by name; a VM that is gone is left out.
func (w *world) pins() *pinsItem {
	item := &pinsItem{Groups: map[string]map[string][]string{}, Rules: map[string]map[string]ruleOut{},
		Overrides: map[string]map[string]map[string]string{}, Autostart: map[string][]string{}}
	for _, e := range simulator.Map.All("ClusterComputeResource") {
		w.pinsOf(e.(*simulator.ClusterComputeResource), item)
	}
	for _, r := range w.hosts.order {
		h := w.host(r)
		auto, ok := w.get(*h.ConfigManager.AutoStartManager).(*autoStart)
		if !ok || auto.Config.Defaults == nil || !yes(auto.Config.Defaults.Enabled) {
			continue
		}
		item.Autostart[h.Name] = []string{}
		for _, info := range auto.Config.PowerInfo {
			if vm := w.vm(info.Key); vm != nil && info.StartAction == "powerOn" {
				item.Autostart[h.Name] = append(item.Autostart[h.Name], vm.Name)
			}
		}
	}
	return item
}

func (w *world) pinsOf(cluster *simulator.ClusterComputeResource, item *pinsItem) {
	config, ok := cluster.ConfigurationEx.(*types.ClusterConfigInfoEx)
	if !ok {
		return
	}
	groups, rules, overrides := map[string][]string{}, map[string]ruleOut{}, map[string]map[string]string{}
	for _, group := range config.Group {
		names := []string{}
		switch g := group.(type) {
		case *types.ClusterVmGroup:
			for _, r := range g.Vm {
				if vm := w.vm(r); vm != nil {
					names = append(names, vm.Name)
				}
			}
		case *types.ClusterHostGroup:
			for _, r := range g.Host {
				if h := w.host(r); h != nil {
					names = append(names, h.Name)
				}
			}
		}
		groups[group.GetClusterGroupInfo().Name] = names
	}
	for _, rule := range config.Rule {
		if r, ok := rule.(*types.ClusterVmHostRuleInfo); ok {
			rules[r.Name] = ruleOut{yes(r.Enabled), yes(r.Mandatory), r.VmGroupName, r.AffineHostGroupName}
		}
	}
	said := func(r ref, about, what string) {
		if vm := w.vm(r); vm != nil {
			if overrides[vm.Name] == nil {
				overrides[vm.Name] = map[string]string{}
			}
			overrides[vm.Name][about] = what
		}
	}
	for _, own := range config.DrsVmConfig {
		said(own.Key, "drs", map[bool]string{true: "on", false: "off"}[own.Enabled == nil || *own.Enabled])
	}
	for _, own := range config.DasVmConfig {
		if own.DasSettings != nil {
			said(own.Key, "restart", own.DasSettings.RestartPriority)
		}
	}
	item.Groups[cluster.Name], item.Rules[cluster.Name], item.Overrides[cluster.Name] = groups, rules, overrides
}
