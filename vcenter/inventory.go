// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io/ioutil"
	"strings"
)

// inventory is what the inventory file says. Everything else has a default.
type inventory struct {
	Kind        string       `json:"kind"` // "vcenter" or "esxi"
	Name        string       `json:"name"`
	Version     string       `json:"version"`
	APIVersion  string       `json:"api_version"`
	Edition     string       `json:"edition"` // of a lone host: "free" refuses every write
	User        userSpec     `json:"user"`
	Datacenters []datacenter `json:"datacenters"`
}

// userSpec says what the user may do. Privileges nil means everything.
type userSpec struct {
	Privileges []string `json:"privileges"`
	Denied     []string `json:"denied"`
}

type datacenter struct {
	Name     string          `json:"name"`
	Clusters []clusterSpec   `json:"clusters"`
	Hosts    []hostSpec      `json:"hosts"`
	Switches []dvsSpec       `json:"distributed_switches"`
	Opaque   []opaqueNetwork `json:"opaque_networks"`
	VMs      []vmSpec        `json:"vms"`
}

type clusterSpec struct {
	Name       string `json:"name"`
	DRS        *bool  `json:"drs"`
	Automation string `json:"drs_automation"` // fullyAutomated, partiallyAutomated, manual
	HA         bool   `json:"ha"`
}

type hostSpec struct {
	Name        string          `json:"name"`
	Cluster     string          `json:"cluster"` // empty: standalone
	Version     string          `json:"version"`
	Build       string          `json:"build"`
	Licence     string          `json:"licence"` // enterprise-plus, standard, free, evaluation
	Cores       int16           `json:"cpu_cores"`
	MemoryMB    int64           `json:"memory_mb"`
	Maintenance bool            `json:"maintenance"`
	Pnics       []pnicSpec      `json:"pnics"`
	Switches    []stdSwitchSpec `json:"switches"`
}

type pnicSpec struct {
	Name           string `json:"name"`
	Mbps           int32  `json:"mbps"`
	MAC            string `json:"mac"`
	SriovFunctions int32  `json:"sriov_functions"`
}

type securitySpec struct {
	Promiscuous *bool `json:"promiscuous"`
	MACChanges  *bool `json:"mac_changes"`
	Forged      *bool `json:"forged_transmits"`
}

type stdSwitchSpec struct {
	Name       string             `json:"name"`
	MTU        int32              `json:"mtu"`
	Uplinks    []string           `json:"uplinks"`
	Security   *securitySpec      `json:"security"`
	PortGroups []stdPortGroupSpec `json:"port_groups"`
}

type stdPortGroupSpec struct {
	Name     string        `json:"name"`
	VLAN     int32         `json:"vlan"`
	Security *securitySpec `json:"security"`
	Uplinks  []string      `json:"uplinks"`
}

type dvsSpec struct {
	Name           string            `json:"name"`
	Version        string            `json:"version"`
	MTU            int32             `json:"mtu"`
	Uplinks        []string          `json:"uplinks"`
	NetworkOffload string            `json:"network_offload"`
	Members        []memberSpec      `json:"members"`
	PortGroups     []dvPortGroupSpec `json:"port_groups"`
}

type memberSpec struct {
	Host  string   `json:"host"`
	Pnics []string `json:"pnics"`
}

type dvPortGroupSpec struct {
	Name          string        `json:"name"`
	VLAN          int32         `json:"vlan"`
	Trunk         [][2]int32    `json:"trunk"`
	Type          string        `json:"type"`
	Ports         int32         `json:"ports"`
	Security      *securitySpec `json:"security"`
	MACLearning   bool          `json:"mac_learning"`
	VLANOverride  bool          `json:"vlan_override"`
	Backing       string        `json:"backing"` // "nsx": owned by NSX
	LogicalSwitch string        `json:"logical_switch"`
}

type opaqueNetwork struct {
	Name string `json:"name"`
	ID   string `json:"id"`
}

type vmSpec struct {
	Name           string    `json:"name"`
	Host           string    `json:"host"`
	Power          string    `json:"power"` // "on" (default) or "off"
	CPUs           int32     `json:"cpus"`
	MemoryMB       int32     `json:"memory_mb"`
	UUID           string    `json:"uuid"` // instance uuid
	Template       bool      `json:"template"`
	FaultTolerance bool      `json:"fault_tolerance"`
	Tools          string    `json:"tools"` // guestToolsRunning and so on
	NICs           []nicSpec `json:"nics"`
}

type nicSpec struct {
	MAC       string `json:"mac"`
	ManualMAC bool   `json:"manual_mac"`
	Type      string `json:"type"`    // vmxnet3 (default), e1000, e1000e or sriov
	Switch    string `json:"switch"`  // a distributed switch; empty: a standard or opaque network
	Network   string `json:"network"` // port group or network; empty: connected to nothing
	Connected *bool  `json:"connected"`
}

// readInventory reads and checks the file; every fault found is named with its place.
func readInventory(path string) (*inventory, error) {
	data, err := ioutil.ReadFile(path)
	if err != nil {
		return nil, err
	}
	inv := &inventory{Kind: "vcenter", Name: "vcenter", Version: "8.0.3", APIVersion: "8.0.1.0"}
	decoder := json.NewDecoder(strings.NewReader(string(data)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(inv); err != nil {
		return nil, fmt.Errorf("%s: %v", path, err)
	}
	if faults := inv.check(); len(faults) > 0 {
		return nil, fmt.Errorf("%s: %s", path, strings.Join(faults, "; "))
	}
	return inv, nil
}

// esxi says whether this is a lone host without vCenter.
func (inv *inventory) esxi() bool { return inv.Kind == "esxi" }

// free says whether every write is refused.
func (inv *inventory) free() bool { return inv.esxi() && inv.Edition == "free" }

func (inv *inventory) check() (faults []string) {
	say := func(format string, args ...interface{}) { faults = append(faults, fmt.Sprintf(format, args...)) }
	if inv.Kind != "vcenter" && inv.Kind != "esxi" {
		say("kind: %q is neither vcenter nor esxi", inv.Kind)
	}
	if inv.esxi() && (len(inv.Datacenters) != 1 || len(inv.Datacenters[0].Hosts) != 1) {
		say("datacenters: an ESXi host is one datacenter with one host")
	}
	hosts, vms := map[string]bool{}, map[string]bool{}
	for i := range inv.Datacenters {
		dc := &inv.Datacenters[i]
		clusters := map[string]bool{}
		for _, c := range dc.Clusters {
			clusters[c.Name] = true
		}
		for j, h := range dc.Hosts {
			if h.Cluster != "" && !clusters[h.Cluster] {
				say("datacenters[%d].hosts[%d].cluster: there is no %q", i, j, h.Cluster)
			}
			if hosts[h.Name] {
				say("datacenters[%d].hosts[%d].name: %q is there twice", i, j, h.Name)
			}
			hosts[h.Name] = true
		}
		for j, s := range dc.Switches {
			for k, m := range s.Members {
				if !hosts[m.Host] {
					say("datacenters[%d].distributed_switches[%d].members[%d].host: there is no %q", i, j, k, m.Host)
				}
			}
		}
		for j, v := range dc.VMs {
			if !hosts[v.Host] {
				say("datacenters[%d].vms[%d].host: there is no %q", i, j, v.Host)
			}
			if vms[v.Name] {
				say("datacenters[%d].vms[%d].name: %q is there twice", i, j, v.Name)
			}
			vms[v.Name] = true
		}
	}
	return faults
}
