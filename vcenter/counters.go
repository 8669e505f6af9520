// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/vmware/govmomi/vim25/types"
)

// counter is what a port or NIC has counted since it was connected, seen from the VM: tx is what the VM sent.
// Totals include multicast and broadcast.
type counter struct {
	Key                string `json:"key"`
	TxBytes            int64  `json:"tx_bytes"`
	RxBytes            int64  `json:"rx_bytes"`
	TxPackets          int64  `json:"tx_packets"`
	RxPackets          int64  `json:"rx_packets"`
	TxMulticastBytes   int64  `json:"tx_multicast_bytes"`
	RxMulticastBytes   int64  `json:"rx_multicast_bytes"`
	TxMulticastPackets int64  `json:"tx_multicast_packets"`
	RxMulticastPackets int64  `json:"rx_multicast_packets"`
	TxBroadcastBytes   int64  `json:"tx_broadcast_bytes"`
	RxBroadcastBytes   int64  `json:"rx_broadcast_bytes"`
	TxBroadcastPackets int64  `json:"tx_broadcast_packets"`
	RxBroadcastPackets int64  `json:"rx_broadcast_packets"`
	TxDropped          int64  `json:"tx_dropped"`
	RxDropped          int64  `json:"rx_dropped"`
}

// counterPush is the body of POST /counters.
type counterPush struct {
	At    float64   `json:"at"`    // seconds since 1970; 0: now
	Ports []counter `json:"ports"` // key: uuid of the switch, a slash, the port
	NICs  []counter `json:"nics"`  // key: the VM's key, a slash, the NIC's
}

// reading is a counter at a time.
type reading struct {
	at time.Time
	counter
}

const readingsKept = 200

type counters struct {
	latest  map[string]counter
	history map[string][]reading // of NICs
}

func newCounters() *counters {
	return &counters{latest: map[string]counter{}, history: map[string][]reading{}}
}

func (c *counters) forget(key string) {
	delete(c.latest, key)
	delete(c.history, key)
}

func (c *counters) forgetVM(vm string) {
	for key := range c.history {
		if strings.HasPrefix(key, vm+"/") {
			c.forget(key)
		}
	}
}

func (c *counters) note(at time.Time, key string, value counter) {
	c.latest[key] = value
	list := append(c.history[key], reading{at, value})
	if len(list) > readingsKept {
		list = list[len(list)-readingsKept:]
	}
	c.history[key] = list
}

// push takes counters in. A distributed port's are its NIC's, too. Keys that nothing has are named in the answer.
func (w *world) push(p *counterPush) (unknown []string) {
	at := time.Now()
	if p.At != 0 {
		at = time.Unix(0, int64(p.At*1e9))
	}
	for _, value := range p.Ports {
		parts := strings.SplitN(value.Key, "/", 2)
		s := w.switches[parts[0]]
		if s == nil || len(parts) < 2 || s.ports[parts[1]] == nil {
			unknown = append(unknown, value.Key)
			continue
		}
		w.counters.latest[value.Key] = value
		if port := s.ports[parts[1]]; port.vm != nil {
			w.counters.note(at, fmt.Sprintf("%s/%d", port.vm.Value, port.nic), value)
		}
	}
	for _, value := range p.NICs {
		parts := strings.SplitN(value.Key, "/", 2)
		if w.vm(ref{Type: "VirtualMachine", Value: parts[0]}) == nil {
			unknown = append(unknown, value.Key)
			continue
		}
		w.counters.note(at, value.Key, value)
	}
	return unknown
}

// statistics are a port's counters as vSphere names them.
func (c *counters) statistics(key, seenFrom string) types.DistributedVirtualSwitchPortStatistics {
	v := c.latest[key]
	s := types.DistributedVirtualSwitchPortStatistics{
		BytesInUnicast: v.TxBytes - v.TxMulticastBytes - v.TxBroadcastBytes, BytesInMulticast: v.TxMulticastBytes, BytesInBroadcast: v.TxBroadcastBytes,
		PacketsInUnicast: v.TxPackets - v.TxMulticastPackets - v.TxBroadcastPackets, PacketsInMulticast: v.TxMulticastPackets, PacketsInBroadcast: v.TxBroadcastPackets,
		BytesOutUnicast: v.RxBytes - v.RxMulticastBytes - v.RxBroadcastBytes, BytesOutMulticast: v.RxMulticastBytes, BytesOutBroadcast: v.RxBroadcastBytes,
		PacketsOutUnicast: v.RxPackets - v.RxMulticastPackets - v.RxBroadcastPackets, PacketsOutMulticast: v.RxMulticastPackets, PacketsOutBroadcast: v.RxBroadcastPackets,
		PacketsInDropped: v.TxDropped, PacketsOutDropped: v.RxDropped,
	}
	if seenFrom == "vm" {
		s.BytesInUnicast, s.BytesOutUnicast = s.BytesOutUnicast, s.BytesInUnicast
		s.BytesInMulticast, s.BytesOutMulticast = s.BytesOutMulticast, s.BytesInMulticast
		s.BytesInBroadcast, s.BytesOutBroadcast = s.BytesOutBroadcast, s.BytesInBroadcast
		s.PacketsInUnicast, s.PacketsOutUnicast = s.PacketsOutUnicast, s.PacketsInUnicast
		s.PacketsInMulticast, s.PacketsOutMulticast = s.PacketsOutMulticast, s.PacketsInMulticast
		s.PacketsInBroadcast, s.PacketsOutBroadcast = s.PacketsOutBroadcast, s.PacketsInBroadcast
		s.PacketsInDropped, s.PacketsOutDropped = s.PacketsOutDropped, s.PacketsInDropped
	}
	return s
}
