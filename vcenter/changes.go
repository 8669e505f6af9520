// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

const changesKept = 100000

// changes is the order in which objects changed, for those who wait. Whoever lags behind what is kept looks at everything.
type changes struct {
	log       []ref
	first     uint64 // the number of log[0]
	structure uint64 // grows when an object comes, goes or moves
	batch     map[ref]bool
	ports     map[string]bool
	gone      map[ref]bool
	wake      chan struct{}
}

func newChanges() *changes {
	return &changes{batch: map[ref]bool{}, ports: map[string]bool{}, gone: map[ref]bool{}, wake: make(chan struct{})}
}

func (c *changes) last() uint64 { return c.first + uint64(len(c.log)) }

// since lists what changed after that number; false if that is no longer known.
func (c *changes) since(number uint64) (map[ref]bool, bool) {
	if number < c.first {
		return nil, false
	}
	dirty := map[ref]bool{}
	for _, r := range c.log[number-c.first:] {
		dirty[r] = true
	}
	return dirty, true
}

// touch says that properties of the object changed. It is to be called after every change of any.
func (w *world) touch(refs ...ref) {
	for _, r := range refs {
		if !w.changes.batch[r] {
			w.changes.batch[r] = true
		}
	}
}

// touchPort says that a distributed port changed.
func (w *world) touchPort(p *dvPort) {
	w.changes.ports[p.id()] = true
}

// commit publishes the batch.
func (w *world) commit() {
	c := w.changes
	if len(c.batch) == 0 && len(c.ports) == 0 {
		return
	}
	if len(c.log) > changesKept {
		cut := len(c.log) / 2
		c.log = append([]ref(nil), c.log[cut:]...)
		c.first += uint64(cut)
	}
	for r := range c.batch {
		c.log = append(c.log, r)
	}
	w.state.update(w, c.batch, c.ports)
	if w.journal != nil {
		w.journal.write(w, c.batch, c.ports, c.gone)
	}
	c.batch, c.ports, c.gone = map[ref]bool{}, map[string]bool{}, map[ref]bool{}
	w.wake()
}

// wake makes everybody who waits look again.
func (w *world) wake() {
	close(w.changes.wake)
	w.changes.wake = make(chan struct{})
}

// observer hears of what the simulator's own methods change.
type observer struct {
	w *world
}

func (o *observer) Reference() ref { return ref{Type: "Observer", Value: "observer"} }

func (o *observer) PutObject(obj mo.Reference) {
	o.w.touch(obj.Reference())
	if obj.Reference().Type != "Task" {
		o.w.changes.structure++
	}
}

func (o *observer) UpdateObject(obj mo.Reference, _ []types.PropertyChange) {
	o.w.touch(obj.Reference())
}

func (o *observer) RemoveObject(r ref) {
	o.w.touch(r)
	o.w.changes.gone[r] = true
	if r.Type != "Task" {
		o.w.changes.structure++
	}
}

func (w *world) observe() { simulator.Map.AddHandler(&observer{w}) }
