// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/vmware/govmomi/vim25/types"
)

// DvsMacNetworkRuleQualifier and the next stand here since the library's do not fit into the library's list of qualifiers.
type DvsMacNetworkRuleQualifier struct {
	types.DvsMacNetworkRuleQualifier
}

// GetDvsIpNetworkRuleQualifier is what that list asks for.
func (*DvsMacNetworkRuleQualifier) GetDvsIpNetworkRuleQualifier() *types.DvsIpNetworkRuleQualifier {
	return &types.DvsIpNetworkRuleQualifier{}
}

// DvsSystemTrafficNetworkRuleQualifier is likewise.
type DvsSystemTrafficNetworkRuleQualifier struct {
	types.DvsSystemTrafficNetworkRuleQualifier
}

// GetDvsIpNetworkRuleQualifier is what the list asks for.
func (*DvsSystemTrafficNetworkRuleQualifier) GetDvsIpNetworkRuleQualifier() *types.DvsIpNetworkRuleQualifier {
	return &types.DvsIpNetworkRuleQualifier{}
}

func ruleTypes() {
	types.Add("DvsMacNetworkRuleQualifier", typeOf(DvsMacNetworkRuleQualifier{}))
	types.Add("DvsSystemTrafficNetworkRuleQualifier", typeOf(DvsSystemTrafficNetworkRuleQualifier{}))
}

// ruleItem is one rule of a port's traffic filter. Rules hold in the order of their sequence; the first that matches decides.
type ruleItem struct {
	Sequence  int32    `json:"sequence"`
	Direction string   `json:"direction"` // incomingPackets, outgoingPackets or both, as vSphere has it
	Action    string   `json:"action"`    // accept or drop
	Match     []string `json:"match"`     // such as "ip.source=10.0.0.0/24"; a leading "!" negates
	Unknown   bool     `json:"unknown"`   // it has parts that are not in `match`
}

func rulesOf(policy *types.DvsFilterPolicy) []ruleItem {
	rules := []ruleItem{}
	if policy == nil {
		return rules
	}
	for _, base := range policy.FilterConfig {
		config, ok := base.(*types.DvsTrafficFilterConfig)
		if !ok || config.TrafficRuleset == nil || !yes(config.TrafficRuleset.Enabled) {
			continue
		}
		for i := range config.TrafficRuleset.Rules {
			rules = append(rules, ruleOf(&config.TrafficRuleset.Rules[i]))
		}
	}
	return rules
}

func ruleOf(r *types.DvsTrafficRule) ruleItem {
	item := ruleItem{Sequence: r.Sequence, Direction: r.Direction, Match: []string{}}
	switch r.Action.(type) {
	case *types.DvsAcceptNetworkRuleAction:
		item.Action = "accept"
	case *types.DvsDropNetworkRuleAction:
		item.Action = "drop"
	default:
		item.Action, item.Unknown = "accept", true
	}
	add := func(negate *bool, format string, args ...interface{}) {
		text := fmt.Sprintf(format, args...)
		if yes(negate) {
			text = "!" + text
		}
		item.Match = append(item.Match, text)
	}
	number := func(name string, e *types.IntExpression) {
		if e != nil {
			add(e.Negate, "%s=%d", name, e.Value)
		}
	}
	address := func(name string, a types.BaseIpAddress) {
		switch v := a.(type) {
		case *types.SingleIp:
			add(v.Negate, "%s=%s", name, v.Address)
		case *types.IpRange:
			add(v.Negate, "%s=%s/%d", name, v.AddressPrefix, v.PrefixLength)
		}
	}
	port := func(name string, p types.BaseDvsIpPort) {
		switch v := p.(type) {
		case *types.DvsSingleIpPort:
			add(v.Negate, "%s=%d", name, v.PortNumber)
		case *types.DvsIpPortRange:
			add(v.Negate, "%s=%d-%d", name, v.StartPortNumber, v.EndPortNumber)
		}
	}
	mac := func(name string, m types.BaseMacAddress) {
		switch v := m.(type) {
		case *types.SingleMac:
			add(v.Negate, "%s=%s", name, v.Address)
		case *types.MacRange:
			add(v.Negate, "%s=%s/%s", name, v.Address, v.Mask)
		}
	}
	for _, q := range r.Qualifier {
		switch v := q.(type) {
		case *types.DvsIpNetworkRuleQualifier:
			address("ip.source", v.SourceAddress)
			address("ip.destination", v.DestinationAddress)
			number("ip.protocol", v.Protocol)
			port("ip.source_port", v.SourceIpPort)
			port("ip.destination_port", v.DestinationIpPort)
			number("ip.tcp_flags", v.TcpFlags)
		case *DvsMacNetworkRuleQualifier:
			mac("mac.source", v.SourceAddress)
			mac("mac.destination", v.DestinationAddress)
			number("mac.protocol", v.Protocol)
			number("mac.vlan", v.VlanId)
		default:
			item.Unknown = true
		}
	}
	return item
}
