// SPDX-License-Identifier: Apache-2.0

package main

import (
	"sort"
	"strconv"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

const sampleSeconds = 20 // vCenter's real-time interval

// netMetrics are the counters of group net that come from what was pushed. A rate is in KB per second.
var netMetrics = map[string]func(c *counter) (total int64, rate bool){
	"bytesRx.average":       func(c *counter) (int64, bool) { return c.RxBytes, true },
	"bytesTx.average":       func(c *counter) (int64, bool) { return c.TxBytes, true },
	"received.average":      func(c *counter) (int64, bool) { return c.RxBytes, true },
	"transmitted.average":   func(c *counter) (int64, bool) { return c.TxBytes, true },
	"usage.average":         func(c *counter) (int64, bool) { return c.RxBytes + c.TxBytes, true },
	"packetsRx.summation":   func(c *counter) (int64, bool) { return c.RxPackets, false },
	"packetsTx.summation":   func(c *counter) (int64, bool) { return c.TxPackets, false },
	"droppedRx.summation":   func(c *counter) (int64, bool) { return c.RxDropped, false },
	"droppedTx.summation":   func(c *counter) (int64, bool) { return c.TxDropped, false },
	"multicastRx.summation": func(c *counter) (int64, bool) { return c.RxMulticastPackets, false },
	"multicastTx.summation": func(c *counter) (int64, bool) { return c.TxMulticastPackets, false },
	"broadcastRx.summation": func(c *counter) (int64, bool) { return c.RxBroadcastPackets, false },
	"broadcastTx.summation": func(c *counter) (int64, bool) { return c.TxBroadcastPackets, false },
}

// netCounters maps counter numbers to names in netMetrics.
func netCounters(m *simulator.PerformanceManager) map[int32]string {
	found := map[int32]string{}
	for _, info := range m.PerfCounter {
		name := info.NameInfo.GetElementDescription().Key + "." + string(info.RollupType)
		if info.GroupInfo.GetElementDescription().Key == "net" && netMetrics[name] != nil {
			found[info.Key] = name
		}
	}
	return found
}

// total reads a counter at a time, between two readings on a straight line.
func total(history []reading, at time.Time, value func(*counter) (int64, bool)) float64 {
	if len(history) == 0 {
		return 0
	}
	i := sort.Search(len(history), func(i int) bool { return history[i].at.After(at) })
	if i == 0 {
		v, _ := value(&history[0].counter)
		return float64(v)
	}
	before, _ := value(&history[i-1].counter)
	if i == len(history) {
		return float64(before)
	}
	after, _ := value(&history[i].counter)
	share := float64(at.Sub(history[i-1].at)) / float64(history[i].at.Sub(history[i-1].at))
	return float64(before) + share*float64(after-before)
}

// perfOf answers for the network counters of one VM.
func (w *world) perfOf(vm *simulator.VirtualMachine, spec *types.PerfQuerySpec, names map[int32]string) *types.PerfEntityMetric {
	end := time.Now().UTC()
	if spec.EndTime != nil {
		end = *spec.EndTime
	}
	count := int(spec.MaxSample)
	if spec.StartTime != nil {
		if n := int(end.Sub(*spec.StartTime)/time.Second) / sampleSeconds; count == 0 || n < count {
			count = n
		}
	}
	if count <= 0 {
		count = 1
	}
	metric := &types.PerfEntityMetric{PerfEntityMetricBase: types.PerfEntityMetricBase{Entity: vm.Self}}
	for i := count - 1; i >= 0; i-- {
		metric.SampleInfo = append(metric.SampleInfo, types.PerfSampleInfo{
			Timestamp: end.Add(-time.Duration(i*sampleSeconds) * time.Second), Interval: sampleSeconds})
	}
	for _, id := range spec.MetricId {
		name, ok := names[id.CounterId]
		if !ok {
			continue
		}
		for _, instance := range instances(vm, id.Instance) {
			series := &types.PerfMetricIntSeries{PerfMetricSeries: types.PerfMetricSeries{Id: types.PerfMetricId{CounterId: id.CounterId, Instance: instance}}}
			for _, sample := range metric.SampleInfo {
				series.Value = append(series.Value, w.sample(vm, instance, netMetrics[name], sample.Timestamp))
			}
			metric.Value = append(metric.Value, series)
		}
	}
	return metric
}

// instances are the NICs' keys; "" stands for all of them together, "*" for each of them.
func instances(vm *simulator.VirtualMachine, wanted string) []string {
	if wanted != "*" {
		return []string{wanted}
	}
	var list []string
	for _, card := range cards(vm) {
		list = append(list, strconv.Itoa(int(card.GetVirtualEthernetCard().Key)))
	}
	return append(list, "")
}

func (w *world) sample(vm *simulator.VirtualMachine, instance string, value func(*counter) (int64, bool), end time.Time) int64 {
	sum := 0.0
	start := end.Add(-sampleSeconds * time.Second)
	for _, card := range cards(vm) {
		if key := strconv.Itoa(int(card.GetVirtualEthernetCard().Key)); instance != "" && instance != key {
			continue
		}
		history := w.counters.history[nicKey(vm, card)]
		sum += total(history, end, value) - total(history, start, value)
	}
	if _, rate := value(&counter{}); rate {
		sum /= sampleSeconds * 1024
	}
	return int64(sum + 0.5)
}

func perfMethods(t *table) {
	on(t, "QueryPerf", func(c *call, req *types.QueryPerf) (*types.QueryPerfResponse, vimFault) {
		names := netCounters(c.w.get(c.this).(*simulator.PerformanceManager))
		response := &types.QueryPerfResponse{}
		for i := range req.QuerySpec {
			spec := &req.QuerySpec[i]
			vm := c.w.vm(spec.Entity)
			asked := false
			for _, id := range spec.MetricId {
				asked = asked || names[id.CounterId] != ""
			}
			if vm != nil && asked {
				response.Returnval = append(response.Returnval, c.w.perfOf(vm, spec, names))
				continue
			}
			if spec.MaxSample == 0 {
				spec.MaxSample = 1 // the simulator answers nothing otherwise
			}
			passed, fault := c.w.passOn(c, &types.QueryPerf{This: req.This, QuerySpec: []types.PerfQuerySpec{*spec}})
			if fault != nil {
				return nil, fault
			}
			response.Returnval = append(response.Returnval, passed.(*types.QueryPerfResponse).Returnval...)
		}
		return response, nil
	})
	on(t, "QueryAvailablePerfMetric", func(c *call, req *types.QueryAvailablePerfMetric) (*types.QueryAvailablePerfMetricResponse, vimFault) {
		vm := c.w.vm(req.Entity)
		if vm == nil {
			passed, fault := c.w.passOn(c, req)
			if fault != nil {
				return nil, fault
			}
			return passed.(*types.QueryAvailablePerfMetricResponse), nil
		}
		response := &types.QueryAvailablePerfMetricResponse{}
		names := netCounters(c.w.get(c.this).(*simulator.PerformanceManager))
		var ids []int
		for id := range names {
			ids = append(ids, int(id))
		}
		sort.Ints(ids)
		for _, id := range ids {
			for _, instance := range instances(vm, "*") {
				response.Returnval = append(response.Returnval, types.PerfMetricId{CounterId: int32(id), Instance: instance})
			}
		}
		return response, nil
	})
}
