// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

func folderMethods(t *table) {
	on(t, "CreateFolder", func(c *call, req *types.CreateFolder) (*types.CreateFolderResponse, vimFault) {
		parent := c.w.folder(c.this)
		if parent == nil {
			return nil, &types.NotSupported{}
		}
		if e := c.w.child(parent, req.Name); e != nil {
			return nil, &types.DuplicateName{Name: req.Name, Object: e.Reference()}
		}
		f := &simulator.Folder{}
		f.Self = c.w.newRef("Folder", "group-v")
		f.Name, f.ChildType = req.Name, parent.ChildType
		c.w.put(parent, f)
		c.w.touch(f.Self)
		return &types.CreateFolderResponse{Returnval: f.Self}, nil
	})
	onType(t, "Folder", "Destroy_Task", func(c *call, _ *types.Destroy_Task) (*types.Destroy_TaskResponse, vimFault) {
		f := c.w.folder(c.this)
		task := c.w.do(c, c.this, "Destroy_Task", "ManagedEntity.destroy", func() (types.AnyType, vimFault) {
			if len(f.ChildEntity) > 0 {
				return nil, &types.ResourceInUse{Type: "Folder", Name: f.Name}
			}
			c.w.remove(f)
			return nil, nil
		})
		return &types.Destroy_TaskResponse{Returnval: task}, nil
	})
	onType(t, "Folder", "MoveIntoFolder_Task", func(c *call, req *types.MoveIntoFolder_Task) (*types.MoveIntoFolder_TaskResponse, vimFault) {
		f := c.w.folder(c.this)
		task := c.w.do(c, c.this, "MoveIntoFolder_Task", "Folder.moveInto", func() (types.AnyType, vimFault) {
			for _, r := range req.List {
				e := c.w.entity(r)
				if e == nil {
					return nil, &types.ManagedObjectNotFound{Obj: r}
				}
				if old := c.w.folder(*e.Entity().Parent); old != nil {
					simulator.RemoveReference(&old.ChildEntity, r)
					c.w.touch(old.Self)
				}
				f.ChildEntity = append(f.ChildEntity, r)
				e.Entity().Parent = &f.Self
				c.w.touch(r, f.Self)
				c.w.changes.structure++
			}
			return nil, nil
		})
		return &types.MoveIntoFolder_TaskResponse{Returnval: task}, nil
	})
}
