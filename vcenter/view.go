// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// containerView lists what lies below its container. The list is made when it is read, and only if the inventory changed.
type containerView struct {
	mo.ContainerView

	structure uint64
}

func (w *world) refreshView(v *containerView) {
	if v.structure == w.changes.structure {
		return
	}
	v.structure = w.changes.structure
	v.View = nil
	seen := map[ref]bool{}
	if container := w.get(v.Container); container != nil {
		w.walk(v, container, seen)
	}
}

func (w *world) walk(v *containerView, container mo.Reference, seen map[ref]bool) {
	for _, child := range w.children(container) {
		obj := w.get(child)
		if obj == nil || seen[child] {
			continue
		}
		seen[child] = true
		if v.includes(obj) {
			v.View = append(v.View, child)
		}
		if v.Recursive {
			w.walk(v, obj, seen)
		}
	}
}

func (v *containerView) includes(obj mo.Reference) bool {
	if len(v.Type) == 0 {
		return true
	}
	for _, kind := range v.Type {
		if isKind(obj, kind) {
			return true
		}
	}
	return false
}

// children are the inventory objects directly below one.
func (w *world) children(obj mo.Reference) []ref {
	switch e := obj.(type) {
	case *simulator.Folder:
		return e.ChildEntity
	case *simulator.Datacenter:
		return []ref{e.VmFolder, e.HostFolder, e.DatastoreFolder, e.NetworkFolder}
	case *simulator.ClusterComputeResource:
		return append(append([]ref(nil), e.Host...), *e.ResourcePool)
	case *mo.ComputeResource:
		return append(append([]ref(nil), e.Host...), *e.ResourcePool)
	case *simulator.ResourcePool:
		w.refresh(e, "vm")
		return append(append([]ref(nil), e.ResourcePool.ResourcePool...), e.Vm...)
	case *simulator.HostSystem:
		w.refresh(e, "vm")
		return e.Vm
	}
	return nil
}

func viewMethods(t *table) {
	on(t, "CreateContainerView", func(c *call, req *types.CreateContainerView) (*types.CreateContainerViewResponse, vimFault) {
		if c.w.get(req.Container) == nil {
			return nil, &types.ManagedObjectNotFound{Obj: req.Container}
		}
		v := &containerView{}
		v.Self = c.session.newRef("ContainerView")
		v.Container, v.Type, v.Recursive = req.Container, req.Type, req.Recursive
		c.session.objects[v.Self] = v
		return &types.CreateContainerViewResponse{Returnval: v.Self}, nil
	})
	on(t, "CreateListView", func(c *call, req *types.CreateListView) (*types.CreateListViewResponse, vimFault) {
		v := &mo.ListView{}
		v.Self = c.session.newRef("ListView")
		v.View = req.Obj
		c.session.objects[v.Self] = v
		return &types.CreateListViewResponse{Returnval: v.Self}, nil
	})
	on(t, "ModifyListView", func(c *call, req *types.ModifyListView) (*types.ModifyListViewResponse, vimFault) {
		v, ok := c.session.objects[c.this].(*mo.ListView)
		if !ok {
			return nil, &types.ManagedObjectNotFound{Obj: c.this}
		}
		view := append([]ref(nil), v.View...)
		for _, r := range req.Remove {
			simulator.RemoveReference(&view, r)
		}
		v.View = append(view, req.Add...)
		c.w.touch(c.this)
		return &types.ModifyListViewResponse{}, nil
	})
	on(t, "ResetListView", func(c *call, req *types.ResetListView) (*types.ResetListViewResponse, vimFault) {
		v, ok := c.session.objects[c.this].(*mo.ListView)
		if !ok {
			return nil, &types.ManagedObjectNotFound{Obj: c.this}
		}
		v.View = req.Obj
		c.w.touch(c.this)
		return &types.ResetListViewResponse{}, nil
	})
	on(t, "DestroyView", func(c *call, _ *types.DestroyView) (*types.DestroyViewResponse, vimFault) {
		if c.session.objects[c.this] == nil {
			return nil, &types.ManagedObjectNotFound{Obj: c.this}
		}
		delete(c.session.objects, c.this)
		return &types.DestroyViewResponse{}, nil
	})
}
