// SPDX-License-Identifier: Apache-2.0

package main

import (
	"reflect"

	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

func typeOf(v interface{}) reflect.Type { return reflect.TypeOf(v) }

// filter is one PropertyFilter, with what its client knows already.
type filter struct {
	mo.PropertyFilter

	owner     *collector
	sent      map[ref]map[string]uint64 // fingerprints of the values sent
	selected  *selection
	seen      uint64 // the changes looked at
	structure uint64
	fresh     bool // nothing was sent yet
}

// selection is what a filter's object set leads to.
type selection struct {
	order   []ref
	has     map[ref]bool
	sources map[ref]bool // objects whose change may change the selection
	view    bool         // it depends on a container view
}

func (f *filter) forget() {
	f.sent, f.fresh, f.selected, f.seen = map[ref]map[string]uint64{}, true, nil, 0
}

func createFilter(c *call, req *types.CreateFilter) (*types.CreateFilterResponse, vimFault) {
	k := c.w.collector(c, c.this)
	if k == nil {
		return nil, &types.ManagedObjectNotFound{Obj: c.this}
	}
	f := &filter{owner: k}
	f.Self = c.session.newRef("PropertyFilter")
	f.Spec, f.PartialUpdates = req.Spec, req.PartialUpdates
	f.forget()
	if _, fault := selectObjects(c, &f.Spec); fault != nil {
		return nil, fault
	}
	k.filters = append(k.filters, f)
	c.session.objects[f.Self] = f
	return &types.CreateFilterResponse{Returnval: f.Self}, nil
}

// updates lists what differs from what the client knows. Only objects that changed are looked at.
func (f *filter) updates(c *call) ([]types.ObjectUpdate, vimFault) {
	w := c.w
	w.commit() // what changed within this very call counts, too
	dirty, known := w.changes.since(f.seen)
	again := f.selected == nil || !known || f.selected.view && f.structure != w.changes.structure
	for r := range dirty {
		again = again || f.selected != nil && f.selected.sources[r]
	}
	var updates []types.ObjectUpdate
	if again {
		selected, fault := selectObjects(c, &f.Spec)
		if fault != nil {
			return nil, fault
		}
		for r := range f.sent {
			if !selected.has[r] {
				delete(f.sent, r)
				updates = append(updates, types.ObjectUpdate{Obj: r, Kind: types.ObjectUpdateKindLeave})
			}
		}
		f.selected, f.structure = selected, w.changes.structure
	}
	for _, r := range f.selected.order {
		before, entered := f.sent[r]
		if entered && known && !dirty[r] {
			continue
		}
		content, ok := readObject(c, &f.Spec, r)
		if !ok {
			continue
		}
		update := f.difference(r, before, content)
		if !entered {
			update.Kind = types.ObjectUpdateKindEnter
		} else if len(update.ChangeSet) == 0 {
			continue
		}
		updates = append(updates, update)
	}
	f.seen, f.fresh = w.changes.last(), false
	return updates, nil
}

func (f *filter) difference(r ref, before map[string]uint64, content types.ObjectContent) types.ObjectUpdate {
	now := map[string]uint64{}
	update := types.ObjectUpdate{Obj: r, Kind: types.ObjectUpdateKindModify, MissingSet: content.MissingSet}
	for _, p := range content.PropSet {
		now[p.Name] = fingerprint(p.Val)
		if old, ok := before[p.Name]; !ok || old != now[p.Name] {
			update.ChangeSet = append(update.ChangeSet, types.PropertyChange{Name: p.Name, Op: types.PropertyChangeOpAssign, Val: p.Val})
		}
	}
	for name := range before {
		if _, ok := now[name]; !ok {
			update.ChangeSet = append(update.ChangeSet, types.PropertyChange{Name: name, Op: types.PropertyChangeOpAssign})
		}
	}
	f.sent[r] = now
	return update
}

// readObject reads the properties that the spec names; false if it names none of the object's type, or the object is gone.
func readObject(c *call, spec *types.PropertyFilterSpec, r ref) (types.ObjectContent, bool) {
	content := types.ObjectContent{Obj: r}
	obj := c.resolve(r)
	if obj == nil {
		return content, false
	}
	found := false
	seen := map[string]bool{}
	for _, p := range spec.PropSet {
		if !isKind(obj, p.Type) {
			continue
		}
		found = true
		names := p.PathSet
		if yes(p.All) {
			names = allProperties(obj)
		}
		for _, name := range names {
			if seen[name] {
				continue
			}
			seen[name] = true
			c.readProperty(obj, name, &content)
		}
	}
	return content, found
}

func (c *call) readProperty(obj mo.Reference, name string, content *types.ObjectContent) {
	if c.session == nil && content.Obj.Type != "ServiceInstance" {
		fault := notAuthenticated(content.Obj)
		content.MissingSet = append(content.MissingSet, types.MissingProperty{Path: name,
			Fault: types.LocalizedMethodFault{Fault: fault, LocalizedMessage: message(fault)}})
		return
	}
	value, known := c.w.property(obj, name)
	switch {
	case !known:
		content.MissingSet = append(content.MissingSet, types.MissingProperty{Path: name,
			Fault: types.LocalizedMethodFault{Fault: &types.InvalidProperty{Name: name}, LocalizedMessage: "InvalidProperty"}})
	case value != nil:
		content.PropSet = append(content.PropSet, types.DynamicProperty{Name: name, Val: value})
	}
}

// selectObjects follows the spec's object set.
func selectObjects(c *call, spec *types.PropertyFilterSpec) (*selection, vimFault) {
	s := &selection{has: map[ref]bool{}, sources: map[ref]bool{}}
	for i := range spec.ObjectSet {
		o := &spec.ObjectSet[i]
		obj := c.resolve(o.Obj)
		if obj == nil {
			if yes(spec.ReportMissingObjectsInResults) {
				continue
			}
			return nil, &types.ManagedObjectNotFound{Obj: o.Obj}
		}
		if !yes(o.Skip) {
			s.add(o.Obj)
		}
		if len(o.SelectSet) > 0 {
			named := map[string]*types.TraversalSpec{}
			nameAll(o.SelectSet, named)
			if fault := s.follow(c, obj, o.SelectSet, named, map[visit]bool{}); fault != nil {
				return nil, fault
			}
		}
	}
	return s, nil
}

func (s *selection) add(r ref) {
	if !s.has[r] {
		s.has[r] = true
		s.order = append(s.order, r)
	}
}

func nameAll(specs []types.BaseSelectionSpec, named map[string]*types.TraversalSpec) {
	for _, spec := range specs {
		if ts, ok := spec.(*types.TraversalSpec); ok {
			if ts.Name != "" {
				named[ts.Name] = ts
			}
			nameAll(ts.SelectSet, named)
		}
	}
}

// visit is one step of a traversal, so that no circle is walked twice.
type visit struct {
	from ref
	spec *types.TraversalSpec
}

func (s *selection) follow(c *call, obj mo.Reference, specs []types.BaseSelectionSpec, named map[string]*types.TraversalSpec, done map[visit]bool) vimFault {
	for _, spec := range specs {
		ts, ok := spec.(*types.TraversalSpec)
		if !ok {
			if ts = named[spec.GetSelectionSpec().Name]; ts == nil {
				return &types.InvalidArgument{InvalidProperty: "selectSet"}
			}
		}
		step := visit{obj.Reference(), ts}
		if done[step] || ts.Type != "" && !isKind(obj, ts.Type) {
			continue
		}
		done[step] = true
		s.sources[obj.Reference()] = true
		s.view = s.view || obj.Reference().Type == "ContainerView"
		value, _ := c.w.property(obj, ts.Path)
		for _, r := range references(value) {
			if !yes(ts.Skip) {
				s.add(r)
			}
			if len(ts.SelectSet) == 0 {
				continue
			}
			if next := c.resolve(r); next != nil {
				if fault := s.follow(c, next, ts.SelectSet, named, done); fault != nil {
					return fault
				}
			}
		}
	}
	return nil
}

func references(value interface{}) []ref {
	switch v := value.(type) {
	case ref:
		return []ref{v}
	case *ref:
		return []ref{*v}
	case *types.ArrayOfManagedObjectReference:
		return v.ManagedObjectReference
	}
	return nil
}
