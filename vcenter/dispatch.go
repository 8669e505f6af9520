// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"reflect"
	"runtime/debug"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// call is one request: what is asked of which object, by whom.
type call struct {
	w       *world
	session *session // nil before login
	this    ref
	method  string
	request *http.Request // nil when the program itself asks
	writer  http.ResponseWriter
	rule    *rule // the fault to inject, if any
	reason  types.BaseTaskReason
}

func (c *call) userName() string {
	if c == nil || c.session == nil {
		return "System"
	}
	return c.session.UserName
}

// context is what methods of the simulator want.
func (c *call) context() *simulator.Context {
	sim := systemSession
	if c != nil && c.session != nil {
		sim = c.session.sim
	}
	ctx := &simulator.Context{Context: context.Background(), Session: sim, Map: simulator.Map}
	if c != nil {
		ctx.Caller = &c.this
	}
	return ctx
}

type handler func(c *call, body interface{}) (interface{}, vimFault)

// table has our methods, by name, or by name and type of the object. What is not in it goes to the simulator.
type table struct {
	handlers map[string]handler
}

func newTable() *table {
	t := &table{handlers: map[string]handler{}}
	for _, register := range []func(*table){
		taskMethods, sessionMethods, collectorMethods, viewMethods, privilegeMethods, licenceMethods, extensionMethods,
		folderMethods, hostMethods, standardSwitchMethods, dvsMethods, dvPortgroupMethods, dvPortMethods, dvsManagerMethods,
		vmMethods, powerMethods, cloneMethods, migrationMethods, maintenanceMethods, perfMethods,
	} {
		register(t)
	}
	return t
}

// on registers a method for every type of object.
func on[Q any, R any](t *table, method string, f func(*call, *Q) (*R, vimFault)) {
	t.handlers[method] = func(c *call, body interface{}) (interface{}, vimFault) {
		request, ok := body.(*Q)
		if !ok {
			return nil, &types.InvalidRequest{}
		}
		response, fault := f(c, request)
		if fault != nil {
			return nil, fault
		}
		return response, nil
	}
}

// onType registers a method of one type of object.
func onType[Q any, R any](t *table, kind, method string, f func(*call, *Q) (*R, vimFault)) {
	on(t, method+"@"+kind, f)
}

func (t *table) find(method, kind string) handler {
	if h := t.handlers[method+"@"+kind]; h != nil {
		return h
	}
	return t.handlers[method]
}

// beforeLogin may be asked by anybody.
var beforeLogin = map[string]bool{
	"RetrieveServiceContent": true, "Login": true, "CurrentTime": true, "Fetch": true,
	"RetrieveProperties": true, "RetrievePropertiesEx": true,
}

// perform carries out a call with the lock held. Handlers that wait give it back meanwhile.
func (w *world) perform(c *call, body interface{}) (response interface{}, fault vimFault) {
	defer func() {
		if problem := recover(); problem != nil {
			log.Printf("%s of %s: %v\n%s", c.method, c.this, problem, debug.Stack())
			response, fault = nil, &types.SystemError{Reason: fmt.Sprint(problem)}
		}
	}()
	if c.session == nil && !beforeLogin[c.method] {
		return nil, notAuthenticated(c.this)
	}
	if fault := w.permit(c); fault != nil {
		return nil, fault
	}
	if h := w.table.find(c.method, c.this.Type); h != nil {
		return h(c, body)
	}
	return w.passOn(c, body)
}

// passOn lets the simulator answer.
func (w *world) passOn(c *call, body interface{}) (interface{}, vimFault) {
	object := w.get(c.this)
	if c.session != nil {
		if own := c.session.sim.Registry.Get(c.this); own != nil {
			object = own
		}
	}
	if object == nil {
		return nil, &types.ManagedObjectNotFound{Obj: c.this}
	}
	name := strings.Title(c.method)
	if strings.HasSuffix(name, "_Task") {
		name = strings.TrimSuffix(name, "_Task") + "Task"
	}
	method := reflect.ValueOf(object).MethodByName(name)
	if !method.IsValid() {
		log.Printf("%s does not know %s", c.this, c.method)
		return nil, &types.MethodNotFound{Receiver: c.this, Method: c.method}
	}
	w.refreshAll(object)
	args := []reflect.Value{reflect.ValueOf(body)}
	if method.Type().NumIn() == 2 {
		args = append([]reflect.Value{reflect.ValueOf(c.context())}, args...)
	}
	results := method.Call(args)
	answered, ok := results[0].Interface().(soap.HasFault)
	if !ok {
		return nil, &types.MethodNotFound{Receiver: c.this, Method: c.method}
	}
	w.touch(c.this)
	if entity := reflect.ValueOf(body).Elem().FieldByName("Entity"); entity.IsValid() {
		if r, ok := entity.Interface().(ref); ok {
			w.touch(r)
		}
	}
	response, fault := unwrap(answered)
	if fault == nil && strings.HasSuffix(c.method, "_Task") {
		if r, ok := reflect.ValueOf(response).Elem().FieldByName("Returnval").Interface().(ref); ok {
			w.adopt(c, r)
		}
	}
	return response, fault
}

func notAuthenticated(this ref) vimFault {
	return &types.NotAuthenticated{NoPermission: types.NoPermission{Object: this, PrivilegeId: "System.View"}}
}
