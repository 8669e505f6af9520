// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"

	"github.com/vmware/govmomi/vim25/types"
)

// needs is what methods ask for. A method that is not here needs no more than a login.
var needs = map[string]string{
	"CreateDVS_Task":                              "DVSwitch.Create",
	"ReconfigureDvs_Task":                         "DVSwitch.Modify",
	"ReconfigureDVPort_Task":                      "DVSwitch.PortConfig",
	"AddDVPortgroup_Task":                         "DVPortgroup.Create",
	"CreateDVPortgroup_Task":                      "DVPortgroup.Create",
	"ReconfigureDVPortgroup_Task":                 "DVPortgroup.Modify",
	"AddVirtualSwitch":                            "Host.Config.Network",
	"UpdateVirtualSwitch":                         "Host.Config.Network",
	"RemoveVirtualSwitch":                         "Host.Config.Network",
	"AddPortGroup":                                "Host.Config.Network",
	"UpdatePortGroup":                             "Host.Config.Network",
	"RemovePortGroup":                             "Host.Config.Network",
	"ReconfigVM_Task":                             "VirtualMachine.Config.EditDevice",
	"CreateVM_Task":                               "VirtualMachine.Inventory.Create",
	"CloneVM_Task":                                "VirtualMachine.Provisioning.DeployTemplate",
	"PowerOnVM_Task":                              "VirtualMachine.Interact.PowerOn",
	"PowerOffVM_Task":                             "VirtualMachine.Interact.PowerOff",
	"RelocateVM_Task":                             "Resource.HotMigrate",
	"MigrateVM_Task":                              "Resource.HotMigrate",
	"EnterMaintenanceMode_Task":                   "Host.Config.Maintenance",
	"ExitMaintenanceMode_Task":                    "Host.Config.Maintenance",
	"DisconnectHost_Task":                         "Host.Config.Connection",
	"ReconnectHost_Task":                          "Host.Config.Connection",
	"ReconfigureAutostart":                        "Host.Config.AutoStart",
	"ReconfigureComputeResource_Task":             "Host.Inventory.EditCluster",
	"RegisterExtension":                           "Extension.Register",
	"UpdateOptions":                               "Global.Settings",
	"UnregisterExtension":                         "Extension.Unregister",
	"UpdateExtension":                             "Extension.Update",
	"Destroy_Task@VirtualMachine":                 "VirtualMachine.Inventory.Delete",
	"Destroy_Task@VmwareDistributedVirtualSwitch": "DVSwitch.Delete",
	"Destroy_Task@DistributedVirtualPortgroup":    "DVPortgroup.Delete",
}

// readOnly are the beginnings of methods that change nothing, which a free ESXi host answers.
var readOnly = []string{"Retrieve", "Query", "Fetch", "WaitFor", "CheckFor", "Cancel", "CreateFilter", "CreateContainerView",
	"CreateListView", "CreatePropertyCollector", "CreateCollector", "Destroy", "Find", "Has", "Login", "Logout", "CurrentTime", "SessionIsActive",
	"Read", "Reset", "Rewind", "Modify", "SetCollector", "TerminateSession"}

// permit refuses what the user may not do, and what a free host does not do for anybody.
func (w *world) permit(c *call) vimFault {
	if c.session == nil {
		return nil
	}
	if w.inv.free() && w.writes(c) {
		return &types.RestrictedVersion{}
	}
	need := needs[c.method+"@"+c.this.Type]
	if need == "" {
		need = needs[c.method]
	}
	if need != "" && !w.granted(need) {
		return &types.NoPermission{Object: c.this, PrivilegeId: need}
	}
	return nil
}

func (w *world) writes(c *call) bool {
	if strings.HasSuffix(c.method, "_Task") {
		return true
	}
	for _, prefix := range readOnly {
		if strings.HasPrefix(c.method, prefix) {
			return false
		}
	}
	return true
}

// granted says whether the user has the privilege, on every object alike.
func (w *world) granted(privilege string) bool {
	user := w.inv.User
	if contains(user.Denied, privilege) {
		return false
	}
	return user.Privileges == nil || contains(user.Privileges, privilege) || strings.HasPrefix(privilege, "System.")
}

func (w *world) availability(entities []ref, privileges []string) (list []types.EntityPrivilege) {
	for _, e := range entities {
		p := types.EntityPrivilege{Entity: e}
		for _, id := range privileges {
			p.PrivAvailability = append(p.PrivAvailability, types.PrivilegeAvailability{PrivId: id, IsGranted: w.granted(id)})
		}
		list = append(list, p)
	}
	return list
}

func privilegeMethods(t *table) {
	on(t, "HasPrivilegeOnEntities", func(c *call, req *types.HasPrivilegeOnEntities) (*types.HasPrivilegeOnEntitiesResponse, vimFault) {
		return &types.HasPrivilegeOnEntitiesResponse{Returnval: c.w.availability(req.Entity, req.PrivId)}, nil
	})
	on(t, "HasUserPrivilegeOnEntities", func(c *call, req *types.HasUserPrivilegeOnEntities) (*types.HasUserPrivilegeOnEntitiesResponse, vimFault) {
		return &types.HasUserPrivilegeOnEntitiesResponse{Returnval: c.w.availability(req.Entities, req.PrivId)}, nil
	})
	on(t, "HasPrivilegeOnEntity", func(c *call, req *types.HasPrivilegeOnEntity) (*types.HasPrivilegeOnEntityResponse, vimFault) {
		response := &types.HasPrivilegeOnEntityResponse{}
		for _, id := range req.PrivId {
			response.Returnval = append(response.Returnval, c.w.granted(id))
		}
		return response, nil
	})
	on(t, "FetchUserPrivilegeOnEntities", func(c *call, req *types.FetchUserPrivilegeOnEntities) (*types.FetchUserPrivilegeOnEntitiesResponse, vimFault) {
		response := &types.FetchUserPrivilegeOnEntitiesResponse{}
		for _, e := range req.Entities {
			result := types.UserPrivilegeResult{Entity: e}
			for _, id := range c.w.allPrivileges() {
				if c.w.granted(id) {
					result.Privileges = append(result.Privileges, id)
				}
			}
			response.Returnval = append(response.Returnval, result)
		}
		return response, nil
	})
}

func (w *world) allPrivileges() (list []string) {
	seen := map[string]bool{}
	for _, id := range needs {
		if !seen[id] {
			seen[id] = true
			list = append(list, id)
		}
	}
	return append(list, "System.Anonymous", "System.Read", "System.View")
}
