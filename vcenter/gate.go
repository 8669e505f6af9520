// SPDX-License-Identifier: Apache-2.0

package main

import "sync"

// gate is what every answer passes. While it is shut (freeze) nothing is answered.
type gate struct {
	mu   sync.Mutex
	open chan struct{} // closed while the gate is open
}

func newGate() *gate {
	g := &gate{open: make(chan struct{})}
	close(g.open)
	return g
}

func (g *gate) frozen() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.open:
		return false
	default:
		return true
	}
}

func (g *gate) shut() {
	if g.frozen() {
		return
	}
	g.mu.Lock()
	g.open = make(chan struct{})
	g.mu.Unlock()
}

func (g *gate) unshut() {
	if !g.frozen() {
		return
	}
	g.mu.Lock()
	close(g.open)
	g.mu.Unlock()
}

// pass returns when the gate is open, or false when the client gave up.
func (g *gate) pass(gone <-chan struct{}) bool {
	for {
		g.mu.Lock()
		open := g.open
		g.mu.Unlock()
		select {
		case <-open:
			return true
		case <-gone:
			return false
		}
	}
}
