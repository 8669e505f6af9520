// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"reflect"

	"github.com/vmware/govmomi/vim25/types"
)

// rule is one fault to come. It strikes calls of its method (and object) until its count is used up.
type rule struct {
	ID           int     `json:"id"`
	Method       string  `json:"method"` // "*": every method
	Object       string  `json:"object,omitempty"`
	Fault        string  `json:"fault,omitempty"` // a type of vSphere's, or "cut" for a connection cut
	HTTP         int     `json:"http,omitempty"`  // a bare HTTP status, such as 503
	Count        int     `json:"count"`           // below 0: for ever
	Skip         int     `json:"skip,omitempty"`  // lets so many pass first
	DelaySeconds float64 `json:"delay_seconds,omitempty"`
	After        bool    `json:"after,omitempty"`   // the work is done, the answer is lost
	InTask       bool    `json:"in_task,omitempty"` // the call returns a task, and that fails
	Struck       int     `json:"struck"`
}

type injector struct {
	rules []*rule
	made  int
}

func newInjector() *injector { return &injector{} }

// add checks the rule before it takes it.
func (i *injector) add(r rule) (*rule, error) {
	if r.Method == "" {
		return nil, fmt.Errorf("method: is missing")
	}
	if r.Fault == "" && r.HTTP == 0 && r.DelaySeconds == 0 {
		return nil, fmt.Errorf("fault: neither fault, http nor delay_seconds is given")
	}
	if r.Fault != "" && r.Fault != "cut" {
		if _, err := newFault(r.Fault, ref{Type: "Folder", Value: "none"}); err != nil {
			return nil, err
		}
	}
	if r.InTask && (r.Fault == "" || r.Fault == "cut") {
		return nil, fmt.Errorf("in_task: needs the type of a fault")
	}
	if r.Count == 0 {
		r.Count = 1
	}
	i.made++
	r.ID, r.Struck = i.made, 0
	i.rules = append(i.rules, &r)
	return &r, nil
}

func (i *injector) clear() { i.rules = nil }

// strike uses up one count of the first rule for the call.
func (i *injector) strike(method string, this ref) *rule {
	for _, r := range i.rules {
		if r.Method != "*" && r.Method != method || r.Object != "" && r.Object != this.Value || r.Count == 0 {
			continue
		}
		if r.Skip > 0 {
			r.Skip--
			continue
		}
		if r.Count > 0 {
			r.Count--
		}
		r.Struck++
		return r
	}
	return nil
}

// inTask is the fault that the call's task has to end with, if any.
func (i *injector) inTask(c *call) vimFault {
	if c == nil || c.rule == nil || !c.rule.InTask {
		return nil
	}
	fault, err := newFault(c.rule.Fault, c.this)
	if err != nil {
		return nil
	}
	return fault
}

// newFault makes a fault by its type's name, with every required reference filled, since clients cannot read it otherwise.
func newFault(name string, object ref) (vimFault, error) {
	kind, ok := types.TypeFunc()(name)
	if !ok {
		return nil, fmt.Errorf("fault: vSphere has no type %q", name)
	}
	value := reflect.New(kind)
	fault, ok := value.Interface().(vimFault)
	if !ok {
		return nil, fmt.Errorf("fault: %s is not a fault", name)
	}
	fill(value.Elem(), object)
	switch f := fault.(type) {
	case *types.SystemError:
		f.Reason = "injected"
	case *types.InvalidArgument:
		f.InvalidProperty = "injected"
	}
	return fault, nil
}

var refType = reflect.TypeOf(ref{})

// refTypes are the types of references that a fault has under these names; under other names any object does.
var refTypes = map[string]string{"Task": "Task", "Host": "HostSystem", "Vm": "VirtualMachine", "Datastore": "Datastore", "Network": "Network"}

// fill sets required references, and strings, which some clients do not accept empty.
func fill(v reflect.Value, object ref) {
	for i := 0; i < v.NumField(); i++ {
		field := v.Field(i)
		required := v.Type().Field(i).Anonymous || !containsOption(v.Type().Field(i).Tag.Get("xml"), "omitempty")
		switch {
		case !required:
		case field.Type() == refType:
			filled := object
			if kind := refTypes[v.Type().Field(i).Name]; kind != "" && kind != object.Type {
				filled = ref{Type: kind, Value: "injected"}
			}
			field.Set(reflect.ValueOf(filled))
		case field.Kind() == reflect.Struct:
			fill(field, object)
		case field.Type().Name() == "string" && field.String() == "": // an enumeration stays empty
			field.SetString("injected")
		}
	}
}
