// SPDX-License-Identifier: Apache-2.0

package main

import (
	"sort"
	"strconv"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// hostIndex finds hosts by name, in the order of the inventory.
type hostIndex struct {
	order  []ref
	byName map[string]ref
	dead   map[ref]bool // lost power
}

func newHostIndex() *hostIndex { return &hostIndex{byName: map[string]ref{}, dead: map[ref]bool{}} }

// vmIndex knows where every VM is, so that no list of VMs has to be searched.
type vmIndex struct {
	byName map[string]ref
	places map[ref]vmPlace
	onHost map[ref]map[ref]bool
	inPool map[ref]map[ref]bool
}

type vmPlace struct {
	host, pool ref
	networks   map[ref]bool
	name       string
}

func newVMIndex() *vmIndex {
	return &vmIndex{byName: map[string]ref{}, places: map[ref]vmPlace{}, onHost: map[ref]map[ref]bool{}, inPool: map[ref]map[ref]bool{}}
}

const opaquePrefix = "network-o-"

// netUse is who uses a network: VMs with a NIC in it, and hosts that have it (standard port groups only).
type netUse struct {
	vms   map[ref]bool
	hosts map[ref]bool
}

func (w *world) use(network ref) *netUse {
	u := w.networks[network]
	if u == nil {
		u = &netUse{vms: map[ref]bool{}, hosts: map[ref]bool{}}
		w.networks[network] = u
	}
	return u
}

func setMember(sets map[ref]map[ref]bool, key, member ref, in bool) {
	if !in {
		delete(sets[key], member)
		return
	}
	if sets[key] == nil {
		sets[key] = map[ref]bool{}
	}
	sets[key][member] = true
}

// index brings the indexes up to date with the VM and touches everything whose lists change.
func (w *world) index(vm *simulator.VirtualMachine) {
	self := vm.Self
	before := w.vms.places[self]
	now := vmPlace{networks: map[ref]bool{}, name: vm.Name}
	if vm.Runtime.Host != nil {
		now.host = *vm.Runtime.Host
	}
	if vm.ResourcePool != nil {
		now.pool = *vm.ResourcePool
	}
	for _, card := range cards(vm) {
		if r := networkOf(card); r != nil {
			now.networks[*r] = true
		}
	}
	w.unindex(self)
	w.vms.byName[vm.Name], w.vms.places[self] = self, now
	setMember(w.vms.onHost, now.host, self, true)
	setMember(w.vms.inPool, now.pool, self, true)
	for r := range now.networks {
		w.use(r).vms[self] = true
	}
	if before.host != now.host {
		w.touch(before.host, now.host)
	}
	if before.pool != now.pool {
		w.touch(before.pool, now.pool)
	}
	for r := range before.networks {
		if !now.networks[r] {
			w.touch(r)
		}
	}
	for r := range now.networks {
		if !before.networks[r] {
			w.touch(r)
		}
	}
	vm.Network = sorted(now.networks)
	w.touch(self)
}

func (w *world) unindex(vm ref) {
	place, ok := w.vms.places[vm]
	if !ok {
		return
	}
	setMember(w.vms.onHost, place.host, vm, false)
	setMember(w.vms.inPool, place.pool, vm, false)
	for r := range place.networks {
		delete(w.use(r).vms, vm)
	}
	if w.vms.byName[place.name] == vm {
		delete(w.vms.byName, place.name)
	}
	delete(w.vms.places, vm)
}

// sorted lists references in the order in which the objects were made.
func sorted(set map[ref]bool) []ref {
	list := make([]ref, 0, len(set))
	for r := range set {
		list = append(list, r)
	}
	number := func(r ref) int {
		n, _ := strconv.Atoi(r.Value[strings.LastIndex(r.Value, "-")+1:])
		return n
	}
	sort.Slice(list, func(i, j int) bool {
		if a, b := number(list[i]), number(list[j]); a != b {
			return a < b
		}
		return list[i].Value < list[j].Value
	})
	return list
}

// refresh makes lists that follow from the indexes, right before a property below that name is read.
func (w *world) refresh(obj mo.Reference, name string) {
	switch o := obj.(type) {
	case *containerView:
		w.refreshView(o)
	case *simulator.HostSystem:
		switch name {
		case "vm":
			o.Vm = sorted(w.vms.onHost[o.Self])
		case "network":
			o.Network = w.networksOf(o)
		case "config":
			w.refreshProxies(o)
		}
	case *simulator.HostNetworkSystem:
		if name == "networkInfo" {
			w.refreshProxies(w.hostOf(o))
		}
	case *dvPortgroup:
		switch name {
		case "vm":
			o.Vm = sorted(w.use(o.Self).vms)
		case "host":
			o.Host = w.dvsOf(o).memberRefs()
		}
	case *mo.Network:
		o.Vm, o.Host = sorted(w.use(o.Self).vms), sorted(w.use(o.Self).hosts)
	case *mo.OpaqueNetwork:
		o.Vm = sorted(w.use(o.Self).vms)
	case *simulator.ResourcePool:
		if name == "vm" {
			o.Vm = sorted(w.vms.inPool[o.Self])
		}
	case *simulator.ClusterComputeResource:
		if name == "network" {
			o.Network = w.networksOfAll(o.Host)
		}
	case *mo.ComputeResource:
		if name == "network" {
			o.Network = w.networksOfAll(o.Host)
		}
	case *simulator.Datacenter:
		if name == "network" {
			o.Network = w.networksBelow(w.folder(o.NetworkFolder))
		}
	case *dvSwitch:
		if name == "summary" {
			w.refreshSummary(o)
		}
	}
}

// refreshAll makes every list of the object.
func (w *world) refreshAll(obj mo.Reference) {
	for _, name := range []string{"vm", "network", "host", "config", "networkInfo", "summary"} {
		w.refresh(obj, name)
	}
}

// networksOf lists what a VM on the host can be connected to.
func (w *world) networksOf(h *simulator.HostSystem) (list []ref) {
	dc := w.datacenterOf(h)
	for _, pg := range h.Config.Network.Portgroup {
		if n := w.standardNetwork(dc, pg.Spec.Name); n != nil {
			list = append(list, n.Self)
		}
	}
	for _, s := range w.switchesOf(h.Self) {
		list = append(list, s.Portgroup...)
	}
	if folder := w.folder(dc.NetworkFolder); folder != nil {
		for _, r := range folder.ChildEntity {
			if r.Type == "OpaqueNetwork" {
				list = append(list, r)
			}
		}
	}
	return list
}

func (w *world) networksOfAll(hosts []ref) (list []ref) {
	seen := map[ref]bool{}
	for _, r := range hosts {
		for _, n := range w.networksOf(w.host(r)) {
			if !seen[n] {
				seen[n] = true
				list = append(list, n)
			}
		}
	}
	return list
}

func (w *world) networksBelow(folder *simulator.Folder) (list []ref) {
	if folder == nil {
		return nil
	}
	for _, r := range folder.ChildEntity {
		switch r.Type {
		case "Folder":
			list = append(list, w.networksBelow(w.folder(r))...)
		case "Network", "OpaqueNetwork", "DistributedVirtualPortgroup":
			list = append(list, r)
		}
	}
	return list
}

// cards are the VM's network adapters.
func cards(vm *simulator.VirtualMachine) (list []types.BaseVirtualEthernetCard) {
	for _, d := range vm.Config.Hardware.Device {
		if card, ok := d.(types.BaseVirtualEthernetCard); ok {
			list = append(list, card)
		}
	}
	return list
}

// networkOf is what the adapter's backing names.
func networkOf(card types.BaseVirtualEthernetCard) *ref {
	switch b := card.GetVirtualEthernetCard().Backing.(type) {
	case *types.VirtualEthernetCardNetworkBackingInfo:
		return b.Network
	case *types.VirtualEthernetCardDistributedVirtualPortBackingInfo:
		if b.Port.PortgroupKey != "" {
			return &ref{Type: "DistributedVirtualPortgroup", Value: b.Port.PortgroupKey}
		}
	case *types.VirtualEthernetCardOpaqueNetworkBackingInfo:
		return &ref{Type: "OpaqueNetwork", Value: opaquePrefix + b.OpaqueNetworkId}
	}
	return nil
}
