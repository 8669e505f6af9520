// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/simulator/esx"
	"github.com/vmware/govmomi/simulator/vpx"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// build makes the inventory. The same file makes the same references, whatever else the program did before.
func (w *world) build() error {
	content, root := vpx.ServiceContent, vpx.RootFolder
	if w.inv.esxi() {
		content, root = esx.ServiceContent, esx.RootFolder
	}
	about := &content.About
	about.Version, about.ApiVersion = w.inv.Version, w.inv.APIVersion
	about.FullName = fmt.Sprintf("%s %s build-1", about.Name, w.inv.Version)
	if !w.inv.esxi() {
		about.InstanceUuid = uuid.NewSHA1(uuid.NameSpaceURL, []byte(w.inv.Name)).String()
	}
	w.service = simulator.NewServiceInstance(content, root)
	simulator.New(w.service)
	w.service.Content = content
	w.observe()
	w.mendEvents()
	for i := range w.inv.Datacenters {
		if err := w.buildDatacenter(&w.inv.Datacenters[i]); err != nil {
			return err
		}
	}
	w.listLicences()
	return nil
}

func (w *world) buildDatacenter(spec *datacenter) error {
	dc := w.makeDatacenter(spec)
	clusters := map[string]*simulator.ClusterComputeResource{}
	for i := range spec.Clusters {
		c, err := w.makeCluster(dc, &spec.Clusters[i])
		if err != nil {
			return err
		}
		clusters[spec.Clusters[i].Name] = c
	}
	for i := range spec.Hosts {
		if err := w.makeHost(dc, clusters[spec.Hosts[i].Cluster], &spec.Hosts[i]); err != nil {
			return fmt.Errorf("host %s: %v", spec.Hosts[i].Name, err)
		}
	}
	w.makeDatastores(dc)
	for _, o := range spec.Opaque {
		w.makeOpaque(dc, o)
	}
	for i := range spec.Switches {
		if err := w.makeSwitch(dc, &spec.Switches[i]); err != nil {
			return err
		}
	}
	for i := range spec.VMs {
		if err := w.makeVM(dc, &spec.VMs[i]); err != nil {
			return err
		}
	}
	return nil
}

// makeDatacenter makes it, without the network that the simulator puts into every new one.
func (w *world) makeDatacenter(spec *datacenter) *simulator.Datacenter {
	if w.inv.esxi() {
		dc := simulator.Map.Any("Datacenter").(*simulator.Datacenter)
		w.dropNetworks(dc)
		return dc
	}
	root := w.folder(w.service.Content.RootFolder)
	var c *call
	made := root.CreateDatacenter(c.context(), &types.CreateDatacenter{This: root.Self, Name: spec.Name})
	dc := w.get(made.(*methods.CreateDatacenterBody).Res.Returnval).(*simulator.Datacenter)
	return dc
}

func (w *world) dropNetworks(dc *simulator.Datacenter) {
	folder := w.folder(dc.NetworkFolder)
	for _, r := range append([]ref(nil), folder.ChildEntity...) {
		if n, ok := w.get(r).(*mo.Network); ok && w.standard[dc.Self][n.Name] != n {
			w.remove(n)
		}
	}
	dc.Network = nil
}

func (w *world) makeCluster(dc *simulator.Datacenter, spec *clusterSpec) (*simulator.ClusterComputeResource, error) {
	folder := w.folder(dc.HostFolder)
	var c *call
	cluster, fault := simulator.CreateClusterComputeResource(c.context(), folder, spec.Name, types.ClusterConfigSpecEx{})
	if fault != nil {
		return nil, fmt.Errorf("cluster %s: %s", spec.Name, message(fault))
	}
	config := cluster.ConfigurationEx.(*types.ClusterConfigInfoEx)
	config.DrsConfig.Enabled = types.NewBool(spec.DRS == nil || *spec.DRS)
	config.DrsConfig.DefaultVmBehavior = types.DrsBehaviorFullyAutomated
	if spec.Automation != "" {
		config.DrsConfig.DefaultVmBehavior = types.DrsBehavior(spec.Automation)
	}
	config.DrsConfig.VmotionRate = 3
	config.DasConfig.Enabled = types.NewBool(spec.HA)
	return cluster, nil
}

// makeDatastores gives the datacenter one datastore that all hosts share and every host one of its own.
func (w *world) makeDatastores(dc *simulator.Datacenter) {
	var hosts []*simulator.HostSystem
	for _, r := range w.hosts.order {
		if h := w.host(r); w.datacenterOf(h) == dc {
			hosts = append(hosts, h)
		}
	}
	w.makeDatastore(dc, "shared", hosts, true)
	for _, h := range hosts {
		w.makeDatastore(dc, "local-"+h.Name, []*simulator.HostSystem{h}, false)
	}
}

func (w *world) makeDatastore(dc *simulator.Datacenter, name string, hosts []*simulator.HostSystem, shared bool) {
	const size = int64(1) << 42
	ds := &simulator.Datastore{}
	ds.Self = w.newRef("Datastore", "datastore")
	ds.Name = name
	ds.Info = &types.VmfsDatastoreInfo{DatastoreInfo: types.DatastoreInfo{Name: name, Url: "ds:///vmfs/volumes/" + ds.Self.Value + "/", FreeSpace: size, MaxFileSize: size}}
	ds.Summary = types.DatastoreSummary{Datastore: &ds.Self, Name: name, Url: "ds:///vmfs/volumes/" + ds.Self.Value + "/", Capacity: size,
		FreeSpace: size, Accessible: true, MultipleHostAccess: types.NewBool(shared), Type: "VMFS", MaintenanceMode: "normal"}
	w.put(w.folder(dc.DatastoreFolder), ds)
	dc.Datastore = append(dc.Datastore, ds.Self)
	for _, h := range hosts {
		ds.Host = append(ds.Host, types.DatastoreHostMount{Key: h.Self, MountInfo: types.HostMountInfo{
			Path: "/vmfs/volumes/" + ds.Self.Value, AccessMode: "readWrite", Mounted: types.NewBool(true), Accessible: types.NewBool(true)}})
		h.Datastore = append(h.Datastore, ds.Self)
		cr := w.computeResource(*h.Parent)
		if !hasRef(cr.Datastore, ds.Self) {
			cr.Datastore = append(cr.Datastore, ds.Self)
		}
	}
}

func (w *world) makeOpaque(dc *simulator.Datacenter, spec opaqueNetwork) {
	n := &mo.OpaqueNetwork{}
	n.Self = ref{Type: "OpaqueNetwork", Value: opaquePrefix + spec.ID}
	n.Network.Name = spec.Name
	n.Network.ManagedEntity.Name = spec.Name
	n.Summary = &types.OpaqueNetworkSummary{
		NetworkSummary:  types.NetworkSummary{Network: &n.Self, Name: spec.Name, Accessible: true},
		OpaqueNetworkId: spec.ID, OpaqueNetworkType: "nsx.LogicalSwitch",
	}
	w.put(w.folder(dc.NetworkFolder), n)
}

func (w *world) makeSwitch(dc *simulator.Datacenter, spec *dvsSpec) error {
	cs := &VMwareDVSConfigSpec{NetworkOffloadSpecId: spec.NetworkOffload}
	cs.Name, cs.MaxMtu = spec.Name, spec.MTU
	if spec.Uplinks != nil {
		cs.UplinkPortPolicy = &types.DVSNameArrayUplinkPortPolicy{UplinkPortName: spec.Uplinks}
	}
	for _, m := range spec.Members {
		backing := &types.DistributedVirtualSwitchHostMemberPnicBacking{}
		for _, name := range m.Pnics {
			backing.PnicSpec = append(backing.PnicSpec, types.DistributedVirtualSwitchHostMemberPnicSpec{PnicDevice: name})
		}
		cs.Host = append(cs.Host, types.DistributedVirtualSwitchHostMemberConfigSpec{Operation: "add", Host: w.hosts.byName[m.Host], Backing: backing})
	}
	s, fault := w.newSwitch(w.folder(dc.NetworkFolder), cs, &types.DistributedVirtualSwitchProductSpec{Version: spec.Version})
	if fault != nil {
		return fmt.Errorf("distributed switch %s: %s", spec.Name, message(fault))
	}
	for i := range spec.PortGroups {
		if _, fault := w.newPortgroup(s, spec.PortGroups[i].config(w.macManagement(s.config().ProductInfo.Version))); fault != nil {
			return fmt.Errorf("distributed switch %s: port group %s: %s", spec.Name, spec.PortGroups[i].Name, message(fault))
		}
	}
	return nil
}

func (p *dvPortGroupSpec) config(macManagement bool) *types.DVPortgroupConfigSpec {
	setting := &types.VMwareDVSPortSetting{Vlan: &types.VmwareDistributedVirtualSwitchVlanIdSpec{VlanId: p.VLAN}}
	if len(p.Trunk) > 0 {
		trunk := &types.VmwareDistributedVirtualSwitchTrunkVlanSpec{}
		for _, r := range p.Trunk {
			trunk.VlanId = append(trunk.VlanId, types.NumericRange{Start: r[0], End: r[1]})
		}
		setting.Vlan = trunk
	}
	if p.Security != nil {
		policy := func(v *bool) *types.BoolPolicy { return &types.BoolPolicy{Value: types.NewBool(yes(v))} }
		setting.SecurityPolicy = &types.DVSSecurityPolicy{
			AllowPromiscuous: policy(p.Security.Promiscuous), MacChanges: policy(p.Security.MACChanges), ForgedTransmits: policy(p.Security.Forged),
		}
	}
	if p.MACLearning && macManagement {
		mac := &types.DVSMacManagementPolicy{MacLearningPolicy: &types.DVSMacLearningPolicy{Enabled: true}}
		if p.Security != nil {
			mac.AllowPromiscuous, mac.MacChanges, mac.ForgedTransmits = p.Security.Promiscuous, p.Security.MACChanges, p.Security.Forged
		}
		setting.MacManagementPolicy = mac
	}
	ports := p.Ports
	if ports == 0 {
		ports = 8
	}
	policy := portgroupPolicy(nil)
	policy.VlanOverrideAllowed = p.VLANOverride
	return &types.DVPortgroupConfigSpec{Name: p.Name, Type: p.Type, NumPorts: ports, DefaultPortConfig: setting, Policy: policy,
		BackingType: p.Backing, LogicalSwitchUuid: p.LogicalSwitch}
}
