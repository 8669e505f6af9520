// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// control is the lab's own entrance: JSON over HTTP on a unix socket. Its answers do not pass the gate.
type control struct {
	w *world
}

// refusal is an error with the HTTP status it is answered with.
type refusal struct {
	status int
	text   string
}

func (r *refusal) Error() string { return r.text }

func refuse(status int, format string, args ...interface{}) error {
	return &refusal{status, fmt.Sprintf(format, args...)}
}

func (c *control) ServeHTTP(writer http.ResponseWriter, r *http.Request) {
	defer func() {
		if problem := recover(); problem != nil {
			log.Printf("%s %s: %v\n%s", r.Method, r.URL, problem, debug.Stack())
			writer.WriteHeader(http.StatusInternalServerError)
			_ = json.NewEncoder(writer).Encode(map[string]string{"error": fmt.Sprint(problem)})
		}
	}()
	result, err := c.route(r)
	writer.Header().Set("Content-Type", "application/json")
	if err != nil {
		status := http.StatusBadRequest
		if refused, ok := err.(*refusal); ok {
			status = refused.status
		}
		writer.WriteHeader(status)
		result = map[string]string{"error": err.Error()}
	}
	_ = json.NewEncoder(writer).Encode(result)
}

func (c *control) route(r *http.Request) (interface{}, error) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	name := ""
	if len(parts) > 1 && parts[0] != "sessions" {
		name = strings.Join(parts[1:], "/")
		parts = parts[:1]
	}
	switch r.Method + " " + strings.Join(parts, "/") {
	case "GET state":
		return c.state(r)
	case "POST counters":
		return c.counters(r)
	case "GET faults":
		return c.listFaults()
	case "POST faults":
		return c.addFault(r)
	case "DELETE faults":
		return c.locked(func() (interface{}, error) { c.w.faults.clear(); return done(), nil })
	case "GET calls":
		return c.locked(func() (interface{}, error) { return map[string]map[string]int{"calls": copied(c.w.calls)}, nil })
	case "GET pins":
		return c.locked(func() (interface{}, error) { return c.w.pins(), nil })
	case "POST sessions/drop":
		return c.locked(func() (interface{}, error) { return map[string]int{"dropped": c.w.dropSessions()}, nil })
	case "POST freeze":
		c.w.gate.shut()
		return done(), nil
	case "POST thaw":
		c.w.gate.unshut()
		return done(), nil
	case "GET settings":
		return c.locked(func() (interface{}, error) { return c.w.settings, nil })
	case "POST settings":
		return c.changeSettings(r)
	case "POST hosts":
		return c.changeHost(r, name)
	case "POST vms":
		return c.changeVM(r, name)
	case "GET migrations":
		return c.locked(func() (interface{}, error) { return c.w.listMoves(), nil })
	case "POST migrations":
		return c.orderMove(r)
	}
	return nil, refuse(http.StatusNotFound, "there is no %s %s", r.Method, r.URL.Path)
}

// copied is a copy: the answer is written when the lock is given back.
func copied(of map[string]int) map[string]int {
	made := make(map[string]int, len(of))
	for name, count := range of {
		made[name] = count
	}
	return made
}

func done() interface{} { return map[string]bool{"done": true} }

// read decodes a body; a name that is not known is an error.
func read(r *http.Request, into interface{}) error {
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}

func (c *control) locked(f func() (interface{}, error)) (interface{}, error) {
	c.w.lock()
	defer c.w.unlock()
	return f()
}

// state answers at once, or with ?after=G when there is something newer than G or the time is up.
func (c *control) state(r *http.Request) (interface{}, error) {
	query := r.URL.Query()
	w := c.w
	if query.Get("after") == "" {
		return c.locked(func() (interface{}, error) { w.commit(); return w.state.answer(w, w.state.generation, true), nil })
	}
	after, err := strconv.ParseUint(query.Get("after"), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("after: %v", err)
	}
	seconds, err := strconv.ParseFloat("0"+query.Get("timeout"), 64)
	if err != nil {
		return nil, fmt.Errorf("timeout: %v", err)
	}
	full := query.Get("full") == "1"
	timer := time.NewTimer(time.Duration(seconds * float64(time.Second)))
	defer timer.Stop()
	for over := false; ; {
		w.lock()
		w.commit()
		foreign := query.Get("instance") != "" && query.Get("instance") != w.instance // what it knows is of an earlier run
		if foreign || w.state.generation != after || over {
			answer := w.state.answer(w, after, full || foreign)
			w.unlock()
			return answer, nil
		}
		wake := w.changes.wake
		w.unlock()
		select {
		case <-wake:
		case <-timer.C:
			over = true
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
}

func (c *control) counters(r *http.Request) (interface{}, error) {
	var push counterPush
	if err := read(r, &push); err != nil {
		return nil, err
	}
	return c.locked(func() (interface{}, error) {
		return map[string][]string{"unknown": append([]string{}, c.w.push(&push)...)}, nil
	})
}

func (c *control) listFaults() (interface{}, error) {
	return c.locked(func() (interface{}, error) {
		list := []rule{}
		for _, r := range c.w.faults.rules {
			list = append(list, *r)
		}
		return map[string][]rule{"faults": list}, nil
	})
}

func (c *control) addFault(r *http.Request) (interface{}, error) {
	var given rule
	if err := read(r, &given); err != nil {
		return nil, err
	}
	return c.locked(func() (interface{}, error) {
		made, err := c.w.faults.add(given)
		if err != nil {
			return nil, err
		}
		return *made, nil
	})
}

func (c *control) changeSettings(r *http.Request) (interface{}, error) {
	return c.locked(func() (interface{}, error) {
		changed := c.w.settings
		if err := read(r, &changed); err != nil {
			return nil, err
		}
		if changed.PortStatistics != "switch" && changed.PortStatistics != "vm" {
			return nil, fmt.Errorf("port_statistics: %q is neither switch nor vm", changed.PortStatistics)
		}
		c.w.settings = changed
		return changed, nil
	})
}
