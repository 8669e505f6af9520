// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io/ioutil"
	"log"
	"net/http"
	"strings"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vim25/xml"
)

// front answers clients over HTTP.
type front struct {
	w *world
}

func (f *front) ServeHTTP(writer http.ResponseWriter, r *http.Request) {
	if !f.w.gate.pass(r.Context().Done()) {
		return
	}
	switch {
	case strings.HasSuffix(r.URL.Path, "/vimServiceVersions.xml"):
		f.versions(writer)
	case r.Method == http.MethodPost && (r.URL.Path == "/sdk" || r.URL.Path == "/sdk/vimService"):
		f.soap(writer, r)
	default:
		http.NotFound(writer, r)
	}
}

// versions says which API this vCenter speaks.
func (f *front) versions(writer http.ResponseWriter) {
	writer.Header().Set("Content-Type", "text/xml")
	fmt.Fprintf(writer, xml.Header+`<namespaces version="1.0"><namespace><name>urn:vim25</name><version>%s</version>`+
		`<priorVersions><version>6.0</version><version>5.5</version></priorVersions></namespace></namespaces>`, f.w.inv.APIVersion)
}

func (f *front) soap(writer http.ResponseWriter, r *http.Request) {
	body, err := ioutil.ReadAll(r.Body)
	if err != nil {
		http.Error(writer, err.Error(), http.StatusBadRequest)
		return
	}
	method, err := simulator.UnmarshalBody(types.TypeFunc(), body)
	if err != nil {
		log.Printf("cannot read a request: %v", err)
		f.answer(writer, r, nil, &types.InvalidRequest{})
		return
	}
	w := f.w
	w.lock()
	w.calls[method.Name]++
	rule := w.faults.strike(method.Name, method.This)
	w.unlock()
	if rule != nil && rule.DelaySeconds > 0 {
		select {
		case <-time.After(time.Duration(rule.DelaySeconds * float64(time.Second))):
		case <-r.Context().Done():
		}
	}
	if rule != nil && !rule.After && !rule.InTask && f.injected(writer, r, rule, method.This) {
		return
	}
	w.lock()
	c := &call{w: w, session: w.sessions.of(r), this: method.This, method: method.Name, request: r, writer: writer, rule: rule}
	response, fault := w.perform(c, method.Body)
	out, err := encode(response, fault)
	w.unlock()
	if err != nil {
		log.Printf("cannot encode the answer to %s: %v", method.Name, err)
		f.answer(writer, r, nil, &types.SystemError{Reason: err.Error()})
		return
	}
	if rule != nil && rule.After && f.injected(writer, r, rule, method.This) {
		return
	}
	f.send(writer, r, out, fault != nil)
}

// injected answers with the rule's fault; false if the rule only delays.
func (f *front) injected(writer http.ResponseWriter, r *http.Request, rule *rule, this ref) bool {
	switch {
	case rule.HTTP != 0:
		writer.WriteHeader(rule.HTTP)
	case rule.Fault == "cut":
		if connection, _, err := writer.(http.Hijacker).Hijack(); err == nil {
			_ = connection.Close()
		}
	case rule.Fault != "":
		fault, err := newFault(rule.Fault, this)
		if err != nil {
			return false
		}
		f.answer(writer, r, nil, fault)
	default:
		return false
	}
	return true
}

// answer sends something that reads no live object.
func (f *front) answer(writer http.ResponseWriter, r *http.Request, response interface{}, fault vimFault) {
	out, err := encode(response, fault)
	if err != nil {
		http.Error(writer, err.Error(), http.StatusInternalServerError)
		return
	}
	f.send(writer, r, out, fault != nil)
}

func (f *front) send(writer http.ResponseWriter, r *http.Request, out []byte, failed bool) {
	if !f.w.gate.pass(r.Context().Done()) {
		return
	}
	writer.Header().Set("Content-Type", "text/xml; charset=utf-8")
	if failed {
		writer.WriteHeader(http.StatusInternalServerError)
	}
	_, _ = writer.Write(out)
}
