// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// autoStart is a host's HostAutoStartManager.
type autoStart struct {
	mo.HostAutoStartManager
}

func (a *autoStart) Reference() ref { return a.Self }

// makeHost lets the simulator make a host and then gives it what the inventory says.
func (w *world) makeHost(dc *simulator.Datacenter, cluster *simulator.ClusterComputeResource, spec *hostSpec) error {
	h, err := w.enlist(dc, cluster, spec)
	if err != nil {
		return err
	}
	version := spec.Version
	if version == "" {
		version = w.inv.Version
	}
	product := *h.Summary.Config.Product
	product.Version, product.ApiVersion = version, version
	if spec.Build != "" {
		product.Build = spec.Build
	}
	product.FullName = fmt.Sprintf("VMware ESXi %s build-%s", version, product.Build)
	h.Summary.Config.Product, h.Config.Product = &product, product
	hardware := *h.Summary.Hardware
	if spec.Cores > 0 {
		hardware.NumCpuCores, hardware.NumCpuThreads = spec.Cores, spec.Cores*2
	}
	if spec.MemoryMB > 0 {
		hardware.MemorySize = spec.MemoryMB << 20
	}
	h.Summary.Hardware, h.Hardware.MemorySize = &hardware, hardware.MemorySize
	h.Runtime.ConnectionState, h.Runtime.InMaintenanceMode = types.HostSystemConnectionStateConnected, spec.Maintenance
	h.Runtime.PowerState = types.HostSystemPowerStatePoweredOn
	word := spec.Licence
	if w.inv.free() {
		word = "free"
	}
	w.licenceWords[h.Self] = word
	auto := &autoStart{}
	auto.Self = ref{Type: "HostAutoStartManager", Value: "autoStartManager-" + h.Self.Value}
	auto.Config.Defaults = &types.AutoStartDefaults{Enabled: types.NewBool(false), StartDelay: 120, StopDelay: 120, StopAction: "PowerOff"}
	simulator.Map.Put(auto)
	h.ConfigManager.AutoStartManager = &auto.Self
	h.Config.AutoStart = &auto.Config // one and the same, seen from two sides
	w.hosts.order = append(w.hosts.order, h.Self)
	w.hosts.byName[spec.Name] = h.Self
	w.makeNetworking(h, spec)
	w.dropNetworks(dc)
	return nil
}

func (w *world) enlist(dc *simulator.Datacenter, cluster *simulator.ClusterComputeResource, spec *hostSpec) (*simulator.HostSystem, error) {
	if w.inv.esxi() {
		h := simulator.Map.Any("HostSystem").(*simulator.HostSystem)
		h.Name, h.Summary.Config.Name = spec.Name, spec.Name
		h.Summary.Host = &h.Self
		return h, nil
	}
	var c *call
	connect := types.HostConnectSpec{HostName: spec.Name, UserName: "root", Password: "x", Force: true}
	placeholder := ref{Type: "Network", Value: "none"} // the simulator wants a first network; it is replaced below
	var task ref
	if cluster != nil {
		cluster.Network = []ref{placeholder}
		task = cluster.AddHostTask(&types.AddHost_Task{This: cluster.Self, Spec: connect, AsConnected: true}).(*methods.AddHost_TaskBody).Res.Returnval
	} else {
		dc.Network = []ref{placeholder}
		folder := w.folder(dc.HostFolder)
		task = folder.AddStandaloneHostTask(c.context(), &types.AddStandaloneHost_Task{This: folder.Self, Spec: connect, AddConnected: true}).(*methods.AddStandaloneHost_TaskBody).Res.Returnval
	}
	t := w.get(task).(*simulator.Task)
	simulator.Map.Remove(task)
	if t.Info.Error != nil {
		return nil, fmt.Errorf("%s", message(t.Info.Error.Fault))
	}
	return w.host(t.Info.Result.(ref)), nil
}

// makeNetworking gives the host its NICs and standard switches.
func (w *world) makeNetworking(h *simulator.HostSystem, spec *hostSpec) {
	info := h.Config.Network
	info.Vswitch, info.Portgroup, info.Pnic, info.ProxySwitch = nil, nil, nil, nil
	h.Config.PciPassthruInfo = nil
	number := len(w.hosts.order)
	for i, p := range spec.Pnics {
		mac, pci := p.MAC, fmt.Sprintf("0000:%02x:00.0", i+3)
		if mac == "" {
			mac = fmt.Sprintf("00:0c:29:%02x:%02x:%02x", number>>8&0xff, number&0xff, i)
		}
		mbps := p.Mbps
		if mbps == 0 {
			mbps = 10000
		}
		info.Pnic = append(info.Pnic, types.PhysicalNic{
			Key: "key-vim.host.PhysicalNic-" + p.Name, Device: p.Name, Pci: pci, Driver: "ixgben", Mac: mac,
			LinkSpeed: &types.PhysicalNicLinkInfo{SpeedMb: mbps, Duplex: true}, Spec: types.PhysicalNicSpec{Ip: &types.HostIpConfig{}},
		})
		pass := types.HostPciPassthruInfo{Id: pci, DependentDevice: pci, PassthruCapable: p.SriovFunctions > 0}
		if p.SriovFunctions > 0 {
			h.Config.PciPassthruInfo = append(h.Config.PciPassthruInfo, &types.HostSriovInfo{HostPciPassthruInfo: pass, SriovCapable: true,
				SriovEnabled: true, SriovActive: true, NumVirtualFunctionRequested: p.SriovFunctions, NumVirtualFunction: p.SriovFunctions,
				MaxVirtualFunctionSupported: p.SriovFunctions})
		} else {
			h.Config.PciPassthruInfo = append(h.Config.PciPassthruInfo, &pass)
		}
	}
	if spec.Switches == nil {
		spec.Switches = []stdSwitchSpec{{Name: "vSwitch0", PortGroups: []stdPortGroupSpec{{Name: "VM Network"}, {Name: "Management Network"}}}}
		if len(spec.Pnics) > 0 {
			spec.Switches[0].Uplinks = []string{spec.Pnics[0].Name}
		}
	} else {
		info.Vnic = nil
	}
	for _, s := range spec.Switches {
		policy := defaultPolicy()
		if s.Security != nil {
			merge(policy.Security, s.Security.policy())
		}
		policy.NicTeaming.NicOrder.ActiveNic = s.Uplinks
		vs := types.HostVirtualSwitch{Name: s.Name, Spec: types.HostVirtualSwitchSpec{NumPorts: standardPorts, Mtu: s.MTU, Policy: policy}}
		if len(s.Uplinks) > 0 {
			vs.Spec.Bridge = &types.HostVirtualSwitchBondBridge{NicDevice: s.Uplinks}
		}
		info.Vswitch = append(info.Vswitch, vs)
		for _, g := range s.PortGroups {
			pg := types.HostPortGroup{Spec: types.HostPortGroupSpec{Name: g.Name, VlanId: g.VLAN, VswitchName: s.Name}}
			if g.Security != nil {
				pg.Spec.Policy.Security = g.Security.policy()
			}
			if g.Uplinks != nil {
				pg.Spec.Policy.NicTeaming = &types.HostNicTeamingPolicy{NicOrder: &types.HostNicOrderPolicy{ActiveNic: g.Uplinks}}
			}
			info.Portgroup = append(info.Portgroup, pg)
		}
	}
	ns := networkSystem(w, *h.ConfigManager.NetworkSystem)
	ns.Host, ns.NetworkInfo = &h.HostSystem, info
	w.settle(h)
}

func (s *securitySpec) policy() *types.HostNetworkSecurityPolicy {
	return &types.HostNetworkSecurityPolicy{AllowPromiscuous: s.Promiscuous, MacChanges: s.MACChanges, ForgedTransmits: s.Forged}
}

// setConnection changes what vCenter sees of the host and of the VMs on it.
func (w *world) setConnection(h *simulator.HostSystem, state types.HostSystemConnectionState) {
	h.Runtime.ConnectionState = state
	vmState := types.VirtualMachineConnectionStateConnected
	if state != types.HostSystemConnectionStateConnected {
		vmState = types.VirtualMachineConnectionStateDisconnected
	}
	for r := range w.vms.onHost[h.Self] {
		vm := w.vm(r)
		vm.Runtime.ConnectionState, vm.Summary.Runtime.ConnectionState = vmState, vmState
		w.touch(r)
	}
	for _, s := range w.switchesOf(h.Self) {
		w.refreshMembers(s)
	}
	w.touch(h.Self)
}

func hostMethods(t *table) {
	connection := func(c *call, method string, state types.HostSystemConnectionState) ref {
		h := c.w.host(c.this)
		return c.w.do(c, c.this, method, "HostSystem."+map[bool]string{true: "reconnect", false: "disconnect"}[state == types.HostSystemConnectionStateConnected],
			func() (types.AnyType, vimFault) {
				if state == types.HostSystemConnectionStateConnected && c.w.hosts.dead[h.Self] {
					return nil, &types.HostConnectFault{}
				}
				if h.Runtime.ConnectionState == state {
					return nil, &types.InvalidState{}
				}
				c.w.setConnection(h, state)
				return nil, nil
			})
	}
	on(t, "DisconnectHost_Task", func(c *call, _ *types.DisconnectHost_Task) (*types.DisconnectHost_TaskResponse, vimFault) {
		return &types.DisconnectHost_TaskResponse{Returnval: connection(c, "DisconnectHost_Task", types.HostSystemConnectionStateDisconnected)}, nil
	})
	on(t, "ReconnectHost_Task", func(c *call, _ *types.ReconnectHost_Task) (*types.ReconnectHost_TaskResponse, vimFault) {
		return &types.ReconnectHost_TaskResponse{Returnval: connection(c, "ReconnectHost_Task", types.HostSystemConnectionStateConnected)}, nil
	})
	on(t, "ReconfigureAutostart", func(c *call, req *types.ReconfigureAutostart) (*types.ReconfigureAutostartResponse, vimFault) {
		auto, ok := c.w.get(c.this).(*autoStart)
		if !ok {
			return nil, &types.ManagedObjectNotFound{Obj: c.this}
		}
		if req.Spec.Defaults != nil {
			merge(auto.Config.Defaults, req.Spec.Defaults)
		}
		for _, info := range req.Spec.PowerInfo {
			if c.w.vm(info.Key) == nil {
				return nil, &types.NotFound{}
			}
			kept := auto.Config.PowerInfo[:0:0]
			for _, have := range auto.Config.PowerInfo {
				if have.Key != info.Key {
					kept = append(kept, have)
				}
			}
			auto.Config.PowerInfo = append(kept, info)
		}
		c.w.touch(c.this)
		for _, r := range c.w.hosts.order {
			if *c.w.host(r).ConfigManager.AutoStartManager == c.this {
				c.w.touch(r)
			}
		}
		return &types.ReconfigureAutostartResponse{}, nil
	})
}
