// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"sync"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

type ref = types.ManagedObjectReference

// vimFault is any fault of the vSphere API.
type vimFault = types.BaseMethodFault

// world is everything this vCenter knows. One lock guards it all, the simulator's registry included: no call
// is slow enough to be worth a finer one, and what waits (tasks, property collectors) gives the lock back meanwhile.
type world struct {
	mu           sync.Mutex
	inv          *inventory
	instance     string // of this run of the program: a new one after each start
	service      *simulator.ServiceInstance
	table        *table
	sessions     *sessions
	settings     settings
	hosts        *hostIndex
	vms          *vmIndex
	switches     map[string]*dvSwitch // by uuid
	networks     map[ref]*netUse
	standard     map[ref]map[string]*mo.Network // by datacenter and name: what standard port groups are called
	licenceWords map[ref]string                 // by host
	moves        *moves
	counters     *counters
	changes      *changes
	state        *dataPlane
	journal      *journal
	next         uint64 // the next number in a reference's name
	mac          uint32 // the next address out of vCenter's range
	gate         *gate
	faults       *injector
	login        login
	calls        map[string]int // how often each method was called, by whomever
}

// settings are what the control API may change while the program runs.
type settings struct {
	VMotionSeconds float64 `json:"vmotion_seconds"`
	HASeconds      float64 `json:"ha_seconds"`
	TaskSeconds    float64 `json:"task_seconds"`    // how long any other task takes; 0: it is done when the call returns
	Tools          string  `json:"tools"`           // what a guest's tools say after power on
	PortStatistics string  `json:"port_statistics"` // "switch": In is what the switch got from the VM; "vm": what the VM got
}

func newWorld(inv *inventory) *world {
	w := &world{
		inv: inv, instance: uuid.New().String(),
		settings: settings{VMotionSeconds: 1, HASeconds: 1, Tools: "guestToolsRunning", PortStatistics: "switch"},
		sessions: newSessions(), hosts: newHostIndex(), vms: newVMIndex(), switches: map[string]*dvSwitch{},
		networks: map[ref]*netUse{}, standard: map[ref]map[string]*mo.Network{}, licenceWords: map[ref]string{},
		moves: newMoves(), counters: newCounters(), changes: newChanges(), state: newDataPlane(),
		next: 1000, mac: 0x800000, gate: newGate(), faults: newInjector(), calls: map[string]int{},
	}
	w.table = newTable()
	return w
}

func (w *world) lock() { w.mu.Lock() }

// unlock publishes what changed, to those who wait and to the state file, and gives the lock back.
func (w *world) unlock() {
	w.commit()
	w.mu.Unlock()
}

// newRef names a new object, as vCenter does; a name is never used twice, restarts included.
func (w *world) newRef(kind, prefix string) ref {
	w.next++
	return ref{Type: kind, Value: fmt.Sprintf("%s-%d", prefix, w.next)}
}

// newMAC is an address out of vCenter's range (00:50:56:80:00:00 and on), never used twice.
func (w *world) newMAC() string {
	w.mac++
	return fmt.Sprintf("00:50:56:%02x:%02x:%02x", w.mac>>16&0xff, w.mac>>8&0xff, w.mac&0xff)
}

func (w *world) get(r ref) mo.Reference { return simulator.Map.Get(r) }

func (w *world) entity(r ref) mo.Entity {
	e, _ := simulator.Map.Get(r).(mo.Entity)
	return e
}

func (w *world) host(r ref) *simulator.HostSystem {
	h, _ := simulator.Map.Get(r).(*simulator.HostSystem)
	return h
}

func (w *world) vm(r ref) *simulator.VirtualMachine {
	v, _ := simulator.Map.Get(r).(*simulator.VirtualMachine)
	return v
}

func (w *world) portgroup(key string) *dvPortgroup {
	p, _ := simulator.Map.Get(ref{Type: "DistributedVirtualPortgroup", Value: key}).(*dvPortgroup)
	return p
}

func (w *world) folder(r ref) *simulator.Folder {
	f, _ := simulator.Map.Get(r).(*simulator.Folder)
	return f
}

// parentOf is the nearest ancestor of that type.
func (w *world) parentOf(e mo.Entity, kind string) mo.Entity {
	for e != nil {
		if e.Reference().Type == kind {
			return e
		}
		parent := e.Entity().Parent
		if parent == nil {
			return nil
		}
		e = w.entity(*parent)
	}
	return nil
}

func (w *world) datacenterOf(e mo.Entity) *simulator.Datacenter {
	dc, _ := w.parentOf(e, "Datacenter").(*simulator.Datacenter)
	return dc
}

// clusterOf is the host's cluster, or nil for a standalone host.
func (w *world) clusterOf(h *simulator.HostSystem) *simulator.ClusterComputeResource {
	c, _ := simulator.Map.Get(*h.Parent).(*simulator.ClusterComputeResource)
	return c
}

// computeResource is what the host or pool belongs to: a cluster, or a standalone host's own.
func (w *world) computeResource(parent ref) *mo.ComputeResource {
	switch c := simulator.Map.Get(parent).(type) {
	case *simulator.ClusterComputeResource:
		return &c.ComputeResource
	case *mo.ComputeResource:
		return c
	}
	return nil
}

// put enters an object into a folder.
func (w *world) put(folder *simulator.Folder, e mo.Entity) {
	r := e.Reference()
	folder.ChildEntity = append(folder.ChildEntity, r)
	e.Entity().Parent = &folder.Self
	simulator.Map.Put(e)
	w.touch(folder.Self)
	w.changes.structure++
}

// remove takes an object out of its folder and out of the inventory.
func (w *world) remove(e mo.Entity) {
	r := e.Reference()
	if parent := e.Entity().Parent; parent != nil {
		if folder := w.folder(*parent); folder != nil {
			simulator.RemoveReference(&folder.ChildEntity, r)
			w.touch(folder.Self)
		}
	}
	simulator.Map.Remove(r)
	w.changes.structure++
}

// child is the folder's child of that name.
func (w *world) child(folder *simulator.Folder, name string) mo.Entity {
	return simulator.Map.FindByName(name, folder.ChildEntity)
}

func yes(b *bool) bool { return b != nil && *b }

func pointer(r ref) *ref { return &r }

func contains(list []string, want string) bool {
	for _, have := range list {
		if have == want {
			return true
		}
	}
	return false
}
