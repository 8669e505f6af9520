// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"sort"
	"strings"
)

// The kinds of things that the data plane is told of.
const (
	kindHost      = "hosts"
	kindSwitch    = "switches"
	kindPortGroup = "port_groups"
	kindPort      = "ports"
	kindVM        = "vms"
)

var kinds = []string{kindHost, kindSwitch, kindPortGroup, kindPort, kindVM}

const eventsKept = 50000

// dataPlane is the state as the data plane needs it, each thing by its key as ready JSON, and which of them changed when.
type dataPlane struct {
	generation uint64
	items      map[string]map[string]json.RawMessage
	events     []planeEvent
	oldest     uint64 // changes up to this generation are forgotten
}

type planeEvent struct {
	generation uint64
	kind, key  string
}

func newDataPlane() *dataPlane {
	p := &dataPlane{items: map[string]map[string]json.RawMessage{}}
	for _, kind := range kinds {
		p.items[kind] = map[string]json.RawMessage{}
	}
	return p
}

// update looks at what was touched; only what reads differently than before makes a new generation.
func (p *dataPlane) update(w *world, touched map[ref]bool, ports map[string]bool) {
	var changed []planeEvent
	set := func(kind, key string, item interface{}) {
		before, had := p.items[kind][key]
		if item == nil {
			if had {
				delete(p.items[kind], key)
				changed = append(changed, planeEvent{p.generation + 1, kind, key})
			}
			return
		}
		now, err := json.Marshal(item)
		if err != nil || string(now) == string(before) {
			return
		}
		p.items[kind][key] = now
		changed = append(changed, planeEvent{p.generation + 1, kind, key})
	}
	for r := range touched {
		switch r.Type {
		case "VirtualMachine":
			set(kindVM, r.Value, w.vmItem(r))
		case "HostSystem":
			set(kindHost, r.Value, w.hostItem(r))
		case "VmwareDistributedVirtualSwitch":
			set(kindSwitch, r.Value, w.switchItem(r))
		case "DistributedVirtualPortgroup":
			set(kindPortGroup, r.Value, w.portGroupItem(r))
		}
	}
	for id := range ports {
		parts := strings.SplitN(id, "/", 2)
		var item interface{}
		if s := w.switches[parts[0]]; s != nil {
			if port := s.ports[parts[1]]; port != nil && port.vm != nil {
				item = w.portItem(port)
			}
		}
		set(kindPort, id, item)
	}
	if len(changed) == 0 {
		return
	}
	p.generation++
	p.events = append(p.events, changed...)
	if len(p.events) > eventsKept {
		cut := len(p.events) / 2
		p.oldest = p.events[cut-1].generation
		p.events = append([]planeEvent(nil), p.events[cut:]...)
	}
}

// stateAnswer is the body of GET /state. In an answer that is not full the lists have only what changed; a key in
// `changed` that is in no list is gone.
type stateAnswer struct {
	Instance   string                       `json:"instance"`
	Generation uint64                       `json:"generation"`
	Full       bool                         `json:"full"`
	Changed    map[string][]string          `json:"changed"`
	About      map[string]string            `json:"about"`
	Lists      map[string][]json.RawMessage `json:"lists"`
}

// answer is everything, or what changed after that generation, if that is still known.
func (p *dataPlane) answer(w *world, after uint64, full bool) *stateAnswer {
	a := &stateAnswer{Instance: w.instance, Generation: p.generation, Changed: map[string][]string{}, Lists: map[string][]json.RawMessage{},
		About: map[string]string{"kind": w.inv.Kind, "name": w.inv.Name, "version": w.inv.Version, "api_version": w.inv.APIVersion}}
	a.Full = full || after < p.oldest || after > p.generation
	for _, kind := range kinds {
		a.Changed[kind] = []string{}
		a.Lists[kind] = []json.RawMessage{}
	}
	seen := map[planeEvent]bool{}
	for i := len(p.events) - 1; i >= 0 && p.events[i].generation > after; i-- {
		e := planeEvent{0, p.events[i].kind, p.events[i].key}
		if !seen[e] {
			seen[e] = true
			a.Changed[e.kind] = append(a.Changed[e.kind], e.key)
		}
	}
	for _, kind := range kinds {
		sort.Strings(a.Changed[kind])
		keys := a.Changed[kind]
		if a.Full {
			keys = make([]string, 0, len(p.items[kind]))
			for key := range p.items[kind] {
				keys = append(keys, key)
			}
			sort.Strings(keys)
		}
		for _, key := range keys {
			if item, ok := p.items[kind][key]; ok {
				a.Lists[kind] = append(a.Lists[kind], item)
			}
		}
	}
	return a
}
