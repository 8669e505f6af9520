// SPDX-License-Identifier: Apache-2.0

package main

import (
	"sort"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// poweredOnAt lists the VMs that keep a host from maintenance.
func (w *world) poweredOnAt(h *simulator.HostSystem) (list []*simulator.VirtualMachine) {
	for _, r := range sorted(w.vms.onHost[h.Self]) {
		if vm := w.vm(r); vm.Runtime.PowerState == poweredOn {
			list = append(list, vm)
		}
	}
	return list
}

// pinned says whether an enabled must-run rule ties the VM to hosts without `to`.
func pinned(cluster *simulator.ClusterComputeResource, vm, to ref) bool {
	config, ok := cluster.ConfigurationEx.(*types.ClusterConfigInfoEx)
	if !ok {
		return false
	}
	vms, hosts := map[string][]ref{}, map[string][]ref{}
	for _, group := range config.Group {
		switch g := group.(type) {
		case *types.ClusterVmGroup:
			vms[g.Name] = g.Vm
		case *types.ClusterHostGroup:
			hosts[g.Name] = g.Host
		}
	}
	for _, rule := range config.Rule {
		r, ok := rule.(*types.ClusterVmHostRuleInfo)
		if !ok || !yes(r.Enabled) || !yes(r.Mandatory) || !hasRef(vms[r.VmGroupName], vm) {
			continue
		}
		if r.AffineHostGroupName != "" && !hasRef(hosts[r.AffineHostGroupName], to) {
			return true
		}
		if r.AntiAffineHostGroupName != "" && hasRef(hosts[r.AntiAffineHostGroupName], to) {
			return true
		}
	}
	return false
}

// drsMoves says whether DRS may move the VM by itself.
func drsMoves(cluster *simulator.ClusterComputeResource, vm ref) bool {
	config, ok := cluster.ConfigurationEx.(*types.ClusterConfigInfoEx)
	if !ok || !yes(config.DrsConfig.Enabled) || config.DrsConfig.DefaultVmBehavior != types.DrsBehaviorFullyAutomated {
		return false
	}
	for _, own := range config.DrsVmConfig {
		if own.Key == vm {
			return (own.Enabled == nil || *own.Enabled) && (own.Behavior == "" || own.Behavior == types.DrsBehaviorFullyAutomated)
		}
	}
	return true
}

// refuge is the host of the cluster with the fewest VMs that the VM may go to, or nil.
func (w *world) refuge(cluster *simulator.ClusterComputeResource, vm *simulator.VirtualMachine) *simulator.HostSystem {
	hosts := append([]ref(nil), cluster.Host...)
	sort.SliceStable(hosts, func(i, j int) bool { return len(w.vms.onHost[hosts[i]]) < len(w.vms.onHost[hosts[j]]) })
	for _, r := range hosts {
		h := w.host(r)
		if r != *vm.Runtime.Host && !w.hosts.dead[r] && !pinned(cluster, vm.Self, r) && w.checkMove(&move{vm: vm, to: h}) == nil {
			return h
		}
	}
	return nil
}

// enterMaintenance waits until no VM runs on the host. DRS moves what it may; the rest is somebody else's to move or stop.
func (w *world) enterMaintenance(c *call, h *simulator.HostSystem, op *operation, timeout time.Duration) {
	var late <-chan time.Time
	if timeout > 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		late = timer.C
	}
	tries := map[ref]int{}
	w.lock()
	defer w.unlock()
	for {
		left := w.poweredOnAt(h)
		if len(left) == 0 {
			w.setMaintenance(h, true)
			op.finish(nil, nil)
			return
		}
		if cluster := w.clusterOf(h); cluster != nil {
			for _, vm := range left {
				w.evacuate(cluster, vm, tries)
			}
		}
		w.commit()
		wake := w.changes.wake
		w.mu.Unlock()
		var fault vimFault
		select {
		case <-wake:
		case <-late:
			fault = &types.Timedout{}
		case <-op.cancel:
			fault = &types.RequestCanceled{}
		}
		w.lock()
		if fault != nil {
			op.finish(nil, fault)
			return
		}
	}
}

// evacuate moves a VM away, unless it is on its way or cannot be moved.
func (w *world) evacuate(cluster *simulator.ClusterComputeResource, vm *simulator.VirtualMachine, tries map[ref]int) {
	const enough = 3
	if w.moves.running[vm.Self] != nil || !drsMoves(cluster, vm.Self) || tries[vm.Self] >= enough {
		return
	}
	if to := w.refuge(cluster, vm); to != nil {
		tries[vm.Self]++
		w.drsMigrate(vm, to)
	}
}

// drsMigrate moves a VM as DRS does: nobody asked for it.
func (w *world) drsMigrate(vm *simulator.VirtualMachine, to *simulator.HostSystem) ref {
	c := &call{w: w, this: vm.Self, reason: &types.TaskReasonSchedule{Name: "DRS", ScheduledTask: ref{Type: "ScheduledTask", Value: "drs"}}}
	return w.migrate(c, vm, &move{to: to, drs: true}, "MigrateVM_Task", "Drm.ExecuteVMotionLRO")
}

func (w *world) setMaintenance(h *simulator.HostSystem, in bool) {
	h.Runtime.InMaintenanceMode = in
	h.Summary.Runtime.InMaintenanceMode = in
	w.touch(h.Self)
}

// hostDies takes the host's power away. With HA its VMs start elsewhere after a while; otherwise they stay down.
func (w *world) hostDies(h *simulator.HostSystem) {
	w.hosts.dead[h.Self] = true
	h.Runtime.PowerState = types.HostSystemPowerStateUnknown
	w.setConnection(h, types.HostSystemConnectionStateNotResponding)
	for r := range w.vms.onHost[h.Self] {
		if m := w.moves.running[r]; m != nil && !m.op.task.Info.Cancelled {
			m.op.task.Info.Cancelled = true
			close(m.op.cancel)
		}
	}
	w.touchPortsOn(h.Self)
	cluster := w.clusterOf(h)
	if cluster == nil {
		return
	}
	if config, ok := cluster.ConfigurationEx.(*types.ClusterConfigInfoEx); ok && yes(config.DasConfig.Enabled) {
		time.AfterFunc(time.Duration(w.settings.HASeconds*float64(time.Second)), func() {
			w.lock()
			defer w.unlock()
			w.restartElsewhere(cluster, h)
		})
	}
}

func (w *world) restartElsewhere(cluster *simulator.ClusterComputeResource, h *simulator.HostSystem) {
	if !w.hosts.dead[h.Self] {
		return
	}
	for _, vm := range w.poweredOnAt(h) {
		var best *simulator.HostSystem
		for _, r := range cluster.Host {
			other := w.host(r)
			if r == h.Self || w.usable(other) != nil || pinned(cluster, vm.Self, r) || !w.reaches(vm, other) {
				continue
			}
			if best == nil || len(w.vms.onHost[r]) < len(w.vms.onHost[best.Self]) {
				best = other
			}
		}
		if best == nil {
			continue
		}
		vm.Runtime.ConnectionState = types.VirtualMachineConnectionStateConnected
		_ = w.applyMove(&move{vm: vm, to: best})
		w.setPower(vm, poweredOn)
		w.post(nil, &types.VmRestartedOnAlternateHostEvent{VmPoweredOnEvent: types.VmPoweredOnEvent{VmEvent: w.vmEvent(vm)}, SourceHost: w.hostArgument(h)})
	}
}

// reaches says whether the host has all networks of the VM.
func (w *world) reaches(vm *simulator.VirtualMachine, h *simulator.HostSystem) bool {
	for _, card := range cards(vm) {
		switch b := card.GetVirtualEthernetCard().Backing.(type) {
		case *types.VirtualEthernetCardNetworkBackingInfo:
			if findPortGroup(h.Config.Network, b.DeviceName) == nil {
				return false
			}
		case *types.VirtualEthernetCardDistributedVirtualPortBackingInfo:
			if s := w.switches[b.Port.SwitchUuid]; s == nil || s.members[h.Self] == nil {
				return false
			}
		}
	}
	return true
}

// hostReturns lets the host boot. VMs that are still its own are off; those that its autostart names are started.
func (w *world) hostReturns(h *simulator.HostSystem) {
	delete(w.hosts.dead, h.Self)
	now := time.Now().UTC()
	h.Runtime.PowerState, h.Runtime.BootTime = types.HostSystemPowerStatePoweredOn, &now
	w.setConnection(h, types.HostSystemConnectionStateConnected)
	for _, vm := range w.poweredOnAt(h) {
		w.setPower(vm, poweredOff)
	}
	auto, ok := w.get(*h.ConfigManager.AutoStartManager).(*autoStart)
	if !ok || auto.Config.Defaults == nil || !yes(auto.Config.Defaults.Enabled) {
		return
	}
	order := append([]types.AutoStartPowerInfo(nil), auto.Config.PowerInfo...)
	sort.SliceStable(order, func(i, j int) bool { return order[i].StartOrder < order[j].StartOrder })
	for _, info := range order {
		vm := w.vm(info.Key)
		if vm != nil && info.StartAction == "powerOn" && *vm.Runtime.Host == h.Self && vm.Runtime.PowerState == poweredOff {
			_ = w.powerOn(nil, vm)
		}
	}
}

func (w *world) touchPortsOn(host ref) {
	for _, s := range w.switchesOf(host) {
		for _, p := range s.ports {
			if p.host != nil && *p.host == host {
				w.touchPort(p)
			}
		}
	}
}

func maintenanceMethods(t *table) {
	on(t, "EnterMaintenanceMode_Task", func(c *call, req *types.EnterMaintenanceMode_Task) (*types.EnterMaintenanceMode_TaskResponse, vimFault) {
		h := c.w.host(c.this)
		if h.Runtime.InMaintenanceMode {
			return nil, &types.InvalidState{}
		}
		op := c.w.start(c, c.this, "EnterMaintenanceMode_Task", "HostSystem.enterMaintenanceMode")
		op.task.Info.Cancelable = true
		go c.w.enterMaintenance(c, h, op, time.Duration(req.Timeout)*time.Second)
		return &types.EnterMaintenanceMode_TaskResponse{Returnval: op.task.Self}, nil
	})
	on(t, "ExitMaintenanceMode_Task", func(c *call, _ *types.ExitMaintenanceMode_Task) (*types.ExitMaintenanceMode_TaskResponse, vimFault) {
		h := c.w.host(c.this)
		if !h.Runtime.InMaintenanceMode {
			return nil, &types.InvalidState{}
		}
		task := c.w.do(c, c.this, "ExitMaintenanceMode_Task", "HostSystem.exitMaintenanceMode", func() (types.AnyType, vimFault) {
			c.w.setMaintenance(h, false)
			return nil, nil
		})
		return &types.ExitMaintenanceMode_TaskResponse{Returnval: task}, nil
	})
}
