// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net/http"

	"github.com/vmware/govmomi/vim25/types"
)

// hostChange is the body of POST /hosts/NAME. What is empty stays.
type hostChange struct {
	Power       string `json:"power"`       // dies, returns
	Connection  string `json:"connection"`  // lost, disconnected, back
	Maintenance *bool  `json:"maintenance"` // set without the task that vCenter would run
}

func (c *control) changeHost(r *http.Request, name string) (interface{}, error) {
	var change hostChange
	if err := read(r, &change); err != nil {
		return nil, err
	}
	return c.locked(func() (interface{}, error) {
		w := c.w
		h := w.host(w.hosts.byName[name])
		if h == nil {
			return nil, refuse(http.StatusNotFound, "there is no host %q", name)
		}
		switch change.Power {
		case "":
		case "dies":
			if !w.hosts.dead[h.Self] {
				w.hostDies(h)
			}
		case "returns":
			if w.hosts.dead[h.Self] {
				w.hostReturns(h)
			}
		default:
			return nil, fmt.Errorf("power: %q is neither dies nor returns", change.Power)
		}
		switch change.Connection {
		case "":
		case "lost":
			w.setConnection(h, types.HostSystemConnectionStateNotResponding)
		case "disconnected":
			w.setConnection(h, types.HostSystemConnectionStateDisconnected)
		case "back":
			if w.hosts.dead[h.Self] {
				return nil, refuse(http.StatusConflict, "host %q has no power", name)
			}
			w.setConnection(h, types.HostSystemConnectionStateConnected)
		default:
			return nil, fmt.Errorf("connection: %q is none of lost, disconnected, back", change.Connection)
		}
		if change.Maintenance != nil {
			w.setMaintenance(h, *change.Maintenance)
		}
		return done(), nil
	})
}

// vmChange is the body of POST /vms/NAME. What is empty stays.
type vmChange struct {
	Power  string       `json:"power"` // dies, on, off, reset
	Guest  *guestChange `json:"guest"`
	MoveTo string       `json:"move_to"` // a host, as DRS would
}

type guestChange struct {
	Tools     string `json:"tools"` // guestToolsRunning, guestToolsNotRunning, guestToolsExecutingScripts
	HostName  string `json:"host_name"`
	IPAddress string `json:"ip_address"`
}

func (c *control) changeVM(r *http.Request, name string) (interface{}, error) {
	var change vmChange
	if err := read(r, &change); err != nil {
		return nil, err
	}
	return c.locked(func() (interface{}, error) {
		w := c.w
		vm := w.vm(w.vms.byName[name])
		if vm == nil {
			return nil, refuse(http.StatusNotFound, "there is no VM %q", name)
		}
		switch change.Power {
		case "":
		case "dies", "off":
			w.setPower(vm, poweredOff)
			w.post(nil, &types.VmPoweredOffEvent{VmEvent: w.vmEvent(vm)})
		case "on", "reset":
			w.setPower(vm, poweredOn)
			w.post(nil, &types.VmPoweredOnEvent{VmEvent: w.vmEvent(vm)})
		default:
			return nil, fmt.Errorf("power: %q is none of dies, on, off, reset", change.Power)
		}
		if g := change.Guest; g != nil {
			if g.HostName != "" {
				vm.Guest.HostName = g.HostName
			}
			if g.IPAddress != "" {
				vm.Guest.IpAddress = g.IPAddress
			}
			if g.Tools == "" {
				g.Tools = vm.Guest.ToolsRunningStatus
			}
			w.setTools(vm, g.Tools)
		}
		if change.MoveTo != "" {
			to := w.host(w.hosts.byName[change.MoveTo])
			if to == nil {
				return nil, refuse(http.StatusNotFound, "there is no host %q", change.MoveTo)
			}
			return map[string]string{"task": w.drsMigrate(vm, to).Value}, nil
		}
		return done(), nil
	})
}

// moveItem is one migration under way.
type moveItem struct {
	VM      string `json:"vm"`
	From    string `json:"from"`
	To      string `json:"to"`
	Hanging bool   `json:"hanging"`
}

type moveList struct {
	Running []moveItem  `json:"running"`
	Orders  []moveOrder `json:"orders"`
}

func (w *world) listMoves() moveList {
	list := moveList{Running: []moveItem{}, Orders: []moveOrder{}}
	for _, m := range w.moves.running {
		list.Running = append(list.Running, moveItem{m.vm.Name, w.nameOf(*m.vm.Runtime.Host), m.to.Name, m.order != nil && m.order.Do == "hang"})
	}
	for _, o := range w.moves.orders {
		list.Orders = append(list.Orders, *o)
	}
	return list
}

// orderMove takes an order about migrations to come, or with "proceed" lets those go on that hang.
func (c *control) orderMove(r *http.Request) (interface{}, error) {
	order := moveOrder{Count: 1}
	if err := read(r, &order); err != nil {
		return nil, err
	}
	return c.locked(func() (interface{}, error) {
		w := c.w
		if order.VM != "" && w.vm(w.vms.byName[order.VM]) == nil {
			return nil, refuse(http.StatusNotFound, "there is no VM %q", order.VM)
		}
		switch order.Do {
		case "fail":
			if order.Fault == "" {
				order.Fault = "MigrationFault"
			}
			if _, err := newFault(order.Fault, ref{}); err != nil {
				return nil, err
			}
			w.moves.orders = append(w.moves.orders, &order)
		case "hang":
			w.moves.orders = append(w.moves.orders, &order)
		case "proceed":
			for _, m := range w.moves.running {
				if (order.VM == "" || order.VM == m.vm.Name) && m.order != nil && m.order.Do == "hang" {
					m.order = nil
					close(m.proceed)
				}
			}
		case "clear":
			w.moves.orders = nil
		default:
			return nil, fmt.Errorf("do: %q is none of fail, hang, proceed, clear", order.Do)
		}
		return done(), nil
	})
}
