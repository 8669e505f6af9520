// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strconv"
	"time"

	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// Fetch reads one property. The type stands here since the simulator keeps its own to itself.
type Fetch struct {
	This ref    `xml:"_this"`
	Prop string `xml:"prop"`
}

// FetchResponse answers Fetch.
type FetchResponse struct {
	Returnval types.AnyType `xml:"returnval,omitempty,typeattr"`
}

// collector is one PropertyCollector. Its version counts the answers that had something to say.
type collector struct {
	mo.PropertyCollector

	filters  []*filter
	version  int
	last     *types.UpdateSet // the answer that led to the present version, for a client that never got it
	canceled chan struct{}
}

// collector finds a collector; every session has its own instance of the one in the service content.
func (w *world) collector(c *call, r ref) *collector {
	if known, ok := c.session.objects[r].(*collector); ok {
		return known
	}
	if r != w.service.Content.PropertyCollector {
		return nil
	}
	made := &collector{canceled: make(chan struct{})}
	made.Self = r
	c.session.objects[r] = made
	return made
}

// wait answers when something differs from what the client knows, or after the time the client gave.
func (k *collector) wait(c *call, version string, seconds *int32) (*types.UpdateSet, vimFault) {
	if version == "" {
		k.last = nil
		for _, f := range k.filters {
			f.forget()
		}
	} else if n, err := strconv.Atoi(version); err != nil || n > k.version || n < k.version-1 {
		return nil, &types.InvalidCollectorVersion{}
	} else if n == k.version-1 && k.last != nil {
		return k.last, nil // the answer was lost on the way
	}
	var late <-chan time.Time
	if seconds != nil && *seconds >= 0 {
		timer := time.NewTimer(time.Duration(*seconds) * time.Second)
		defer timer.Stop()
		late = timer.C
	}
	for {
		set, fault := k.collect(c)
		if fault != nil {
			return nil, fault
		}
		if len(set.FilterSet) > 0 || version == "" {
			k.version++
			set.Version = strconv.Itoa(k.version)
			k.last = set
			return set, nil
		}
		if seconds != nil && *seconds == 0 {
			return nil, nil
		}
		if fault, expired := k.pause(c, late); fault != nil || expired {
			return nil, fault
		}
	}
}

// pause gives the lock back until something happens.
func (k *collector) pause(c *call, late <-chan time.Time) (vimFault, bool) {
	w := c.w
	w.commit()
	wake, canceled := w.changes.wake, k.canceled
	w.mu.Unlock()
	defer w.lock()
	select {
	case <-wake:
		select {
		case <-c.session.ended:
			return notAuthenticated(c.this), false
		default:
			return nil, false
		}
	case <-late:
		return nil, true
	case <-canceled:
		return &types.RequestCanceled{}, false
	case <-c.session.ended:
		return notAuthenticated(c.this), false
	case <-c.request.Context().Done():
		return &types.RequestCanceled{}, false
	}
}

func (k *collector) collect(c *call) (*types.UpdateSet, vimFault) {
	set := &types.UpdateSet{}
	for _, f := range k.filters {
		updates, fault := f.updates(c)
		if fault != nil {
			return nil, fault
		}
		if len(updates) > 0 {
			set.FilterSet = append(set.FilterSet, types.PropertyFilterUpdate{Filter: f.Self, ObjectSet: updates})
		}
	}
	return set, nil
}

func (k *collector) drop(c *call, f *filter) {
	for i := range k.filters {
		if k.filters[i] == f {
			k.filters = append(k.filters[:i:i], k.filters[i+1:]...)
			break
		}
	}
	delete(c.session.objects, f.Self)
}

// retrieve reads what the specs select, once.
func retrieve(c *call, specs []types.PropertyFilterSpec) ([]types.ObjectContent, vimFault) {
	var contents []types.ObjectContent
	for _, spec := range specs {
		selected, fault := selectObjects(c, &spec)
		if fault != nil {
			return nil, fault
		}
		for _, r := range selected.order {
			content, ok := readObject(c, &spec, r)
			if ok {
				contents = append(contents, content)
			}
		}
	}
	return contents, nil
}

func collectorMethods(t *table) {
	types.Add("Fetch", typeOf(Fetch{}))
	on(t, "Fetch", fetch)
	on(t, "RetrievePropertiesEx", func(c *call, req *types.RetrievePropertiesEx) (*types.RetrievePropertiesExResponse, vimFault) {
		contents, fault := retrieve(c, req.SpecSet)
		if fault != nil {
			return nil, fault
		}
		return &types.RetrievePropertiesExResponse{Returnval: &types.RetrieveResult{Objects: contents}}, nil
	})
	on(t, "RetrieveProperties", func(c *call, req *types.RetrieveProperties) (*types.RetrievePropertiesResponse, vimFault) {
		contents, fault := retrieve(c, req.SpecSet)
		return &types.RetrievePropertiesResponse{Returnval: contents}, fault
	})
	on(t, "CreateFilter", createFilter)
	on(t, "DestroyPropertyFilter", func(c *call, _ *types.DestroyPropertyFilter) (*types.DestroyPropertyFilterResponse, vimFault) {
		f, ok := c.session.objects[c.this].(*filter)
		if !ok {
			return nil, &types.ManagedObjectNotFound{Obj: c.this}
		}
		f.owner.drop(c, f)
		return &types.DestroyPropertyFilterResponse{}, nil
	})
	on(t, "CreatePropertyCollector", func(c *call, _ *types.CreatePropertyCollector) (*types.CreatePropertyCollectorResponse, vimFault) {
		k := &collector{canceled: make(chan struct{})}
		k.Self = c.session.newRef("PropertyCollector")
		c.session.objects[k.Self] = k
		return &types.CreatePropertyCollectorResponse{Returnval: k.Self}, nil
	})
	on(t, "DestroyPropertyCollector", func(c *call, _ *types.DestroyPropertyCollector) (*types.DestroyPropertyCollectorResponse, vimFault) {
		k := c.w.collector(c, c.this)
		if k == nil {
			return nil, &types.ManagedObjectNotFound{Obj: c.this}
		}
		for _, f := range append([]*filter(nil), k.filters...) {
			k.drop(c, f)
		}
		close(k.canceled)
		delete(c.session.objects, c.this)
		return &types.DestroyPropertyCollectorResponse{}, nil
	})
	on(t, "CancelWaitForUpdates", func(c *call, _ *types.CancelWaitForUpdates) (*types.CancelWaitForUpdatesResponse, vimFault) {
		if k := c.w.collector(c, c.this); k != nil {
			close(k.canceled)
			k.canceled = make(chan struct{})
		}
		return &types.CancelWaitForUpdatesResponse{}, nil
	})
	on(t, "WaitForUpdatesEx", func(c *call, req *types.WaitForUpdatesEx) (*types.WaitForUpdatesExResponse, vimFault) {
		k := c.w.collector(c, c.this)
		if k == nil {
			return nil, &types.ManagedObjectNotFound{Obj: c.this}
		}
		var seconds *int32
		if req.Options != nil {
			seconds = req.Options.MaxWaitSeconds
		}
		set, fault := k.wait(c, req.Version, seconds)
		return &types.WaitForUpdatesExResponse{Returnval: set}, fault
	})
	on(t, "WaitForUpdates", func(c *call, req *types.WaitForUpdates) (*types.WaitForUpdatesResponse, vimFault) {
		k := c.w.collector(c, c.this)
		if k == nil {
			return nil, &types.ManagedObjectNotFound{Obj: c.this}
		}
		set, fault := k.wait(c, req.Version, nil)
		if fault != nil {
			return nil, fault
		}
		return &types.WaitForUpdatesResponse{Returnval: *set}, nil
	})
	on(t, "CheckForUpdates", func(c *call, req *types.CheckForUpdates) (*types.CheckForUpdatesResponse, vimFault) {
		k := c.w.collector(c, c.this)
		if k == nil {
			return nil, &types.ManagedObjectNotFound{Obj: c.this}
		}
		none := int32(0)
		set, fault := k.wait(c, req.Version, &none)
		return &types.CheckForUpdatesResponse{Returnval: set}, fault
	})
}

func fetch(c *call, req *Fetch) (*FetchResponse, vimFault) {
	obj := c.resolve(c.this)
	if obj == nil {
		return nil, &types.ManagedObjectNotFound{Obj: c.this}
	}
	if c.session == nil && c.this.Type != "ServiceInstance" && c.this.Type != "SessionManager" {
		return nil, notAuthenticated(c.this)
	}
	value, _ := c.w.property(obj, req.Prop) // what only a newer API has reads as unset
	return &FetchResponse{Returnval: value}, nil
}
