// SPDX-License-Identifier: Apache-2.0

package main

import (
	"reflect"

	"github.com/vmware/govmomi/vim25/types"
)

// settingOf is a port setting with VMware's policies, whatever the client sent.
func settingOf(s types.BaseDVPortSetting) *types.VMwareDVSPortSetting {
	switch v := s.(type) {
	case nil:
		return &types.VMwareDVSPortSetting{}
	case *types.VMwareDVSPortSetting:
		return v
	}
	return &types.VMwareDVSPortSetting{DVPortSetting: *s.GetDVPortSetting()}
}

func boolPolicy(v bool) *types.BoolPolicy {
	p := &types.BoolPolicy{Value: types.NewBool(v)}
	p.Inherited = true
	return p
}

// baseSetting is what a new switch's ports have. Policies that its version does not know are not in it.
func (w *world) baseSetting(s *dvSwitch) *types.VMwareDVSPortSetting {
	setting := &types.VMwareDVSPortSetting{
		Vlan:           &types.VmwareDistributedVirtualSwitchVlanIdSpec{},
		QosTag:         &types.IntPolicy{Value: -1},
		IpfixEnabled:   boolPolicy(false),
		TxUplink:       boolPolicy(false),
		SecurityPolicy: &types.DVSSecurityPolicy{AllowPromiscuous: boolPolicy(false), MacChanges: boolPolicy(false), ForgedTransmits: boolPolicy(false)},
		UplinkTeamingPolicy: &types.VmwareUplinkPortTeamingPolicy{
			Policy: &types.StringPolicy{Value: "loadbalance_srcid"}, ReversePolicy: boolPolicy(true), NotifySwitches: boolPolicy(true),
			RollingOrder: boolPolicy(false), UplinkPortOrder: &types.VMwareUplinkPortOrderPolicy{ActiveUplinkPort: s.uplinkNames()},
		},
	}
	setting.Blocked = boolPolicy(false)
	if w.macManagement(s.config().ProductInfo.Version) {
		limit := int32(4096)
		setting.MacManagementPolicy = &types.DVSMacManagementPolicy{
			AllowPromiscuous: types.NewBool(false), MacChanges: types.NewBool(false), ForgedTransmits: types.NewBool(false),
			MacLearningPolicy: &types.DVSMacLearningPolicy{AllowUnicastFlooding: types.NewBool(true), Limit: &limit, LimitPolicy: "drop"},
		}
	}
	inherit(reflect.ValueOf(setting))
	return setting
}

// checkSetting refuses what the switch cannot do.
func (w *world) checkSetting(s *dvSwitch, setting *types.VMwareDVSPortSetting) vimFault {
	if setting.MacManagementPolicy != nil && !w.macManagement(s.config().ProductInfo.Version) {
		return &types.NotSupported{}
	}
	switch vlan := setting.Vlan.(type) {
	case *types.VmwareDistributedVirtualSwitchVlanIdSpec:
		if vlan.VlanId < 0 || vlan.VlanId > 4094 {
			return &types.InvalidArgument{InvalidProperty: "defaultPortConfig.vlan.vlanId"}
		}
	case *types.VmwareDistributedVirtualSwitchTrunkVlanSpec:
		for _, r := range vlan.VlanId {
			if r.Start < 0 || r.End > 4094 || r.Start > r.End {
				return &types.InvalidArgument{InvalidProperty: "defaultPortConfig.vlan.vlanId"}
			}
		}
	case *types.VmwareDistributedVirtualSwitchPvlanSpec:
		for _, entry := range s.config().PvlanConfig {
			if entry.SecondaryVlanId == vlan.PvlanId {
				return nil
			}
		}
		return &types.InvalidArgument{InvalidProperty: "defaultPortConfig.vlan.pvlanId"}
	}
	if setting.FilterPolicy != nil && s.config().NetworkOffloadSpecId != "" && len(setting.FilterPolicy.FilterConfig) > 0 {
		return &types.NotSupported{}
	}
	return nil
}

// agree keeps the two ways to say the same thing together: the security policy of old and the MAC management of 6.7.
func agree(target, given *types.VMwareDVSPortSetting) {
	security, mac := target.SecurityPolicy, target.MacManagementPolicy
	if security == nil || mac == nil {
		return
	}
	toPolicy := func(v *bool) *types.BoolPolicy { return &types.BoolPolicy{Value: types.NewBool(yes(v))} }
	value := func(p *types.BoolPolicy) *bool { return types.NewBool(p != nil && yes(p.Value)) }
	switch {
	case given.MacManagementPolicy != nil:
		security.AllowPromiscuous, security.MacChanges = toPolicy(mac.AllowPromiscuous), toPolicy(mac.MacChanges)
		security.ForgedTransmits, security.Inherited = toPolicy(mac.ForgedTransmits), mac.Inherited
	case given.SecurityPolicy != nil:
		mac.AllowPromiscuous, mac.MacChanges = value(security.AllowPromiscuous), value(security.MacChanges)
		mac.ForgedTransmits, mac.Inherited = value(security.ForgedTransmits), security.Inherited
	}
}

// overrideFault names what a port may not override, by its port group's policy.
func overrideFault(policy *types.VMwareDVSPortgroupPolicy, s *types.VMwareDVSPortSetting) vimFault {
	for _, rule := range []struct{ set, allowed bool }{
		{s.Vlan != nil, policy.VlanOverrideAllowed},
		{s.Blocked != nil, policy.BlockOverrideAllowed},
		{s.SecurityPolicy != nil, policy.SecurityPolicyOverrideAllowed},
		{s.MacManagementPolicy != nil, policy.SecurityPolicyOverrideAllowed || yes(policy.MacManagementOverrideAllowed)},
		{s.FilterPolicy != nil, yes(policy.TrafficFilterOverrideAllowed)},
		{s.UplinkTeamingPolicy != nil, policy.UplinkTeamingOverrideAllowed},
		{s.IpfixEnabled != nil, yes(policy.IpfixOverrideAllowed)},
		{s.InShapingPolicy != nil || s.OutShapingPolicy != nil, policy.ShapingOverrideAllowed},
		{s.VendorSpecificConfig != nil, policy.VendorConfigOverrideAllowed},
		{s.NetworkResourcePoolKey != nil, yes(policy.NetworkResourcePoolOverrideAllowed)},
	} {
		if rule.set && !rule.allowed {
			return &types.DvsFault{}
		}
	}
	return nil
}
