// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"strings"

	"github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vim25/xml"
)

// journal is the state file: one line per object that changed, the last line of an object counts. It is rewritten at each
// start, so it grows by what one run changes.
type journal struct {
	file    *os.File
	written map[string]uint64 // fingerprints, so that nothing is written twice
}

// record is one line. Content is the object's properties as XML; Gone says that it was deleted.
type record struct {
	Type    string     `json:"type"`
	Value   string     `json:"value"`
	Gone    bool       `json:"gone,omitempty"`
	Content string     `json:"content,omitempty"`
	Port    *portSaved `json:"port,omitempty"`
	Dead    bool       `json:"dead,omitempty"` // a host without power
	Next    uint64     `json:"next"`
	MAC     uint32     `json:"mac"`
}

// portSaved is what a distributed port has of its own.
type portSaved struct {
	Version     string `json:"version"`
	Name        string `json:"name,omitempty"`
	Description string `json:"description,omitempty"`
	Cookie      int32  `json:"cookie,omitempty"`
}

// saved lists what of each type outlives a restart. The rest follows from it, or from the inventory file.
var saved = map[string][]string{
	"Folder":                         {"name", "parent", "childType"},
	"Network":                        {"name", "parent"},
	"HostNetworkSystem":              {"networkInfo"},
	"HostSystem":                     {"runtime.connectionState", "runtime.powerState", "runtime.inMaintenanceMode", "customValue"},
	"HostAutoStartManager":           {"config"},
	"ClusterComputeResource":         {"configurationEx"},
	"VmwareDistributedVirtualSwitch": {"name", "parent", "uuid", "config", "capability"},
	"DistributedVirtualPortgroup":    {"name", "parent", "key", "config", "portKeys", "tag"},
	"VirtualMachine": {"name", "parent", "config", "runtime", "guest", "resourcePool", "datastore", "environmentBrowser",
		"customValue", "layout", "layoutEx", "storage"},
	"ExtensionManager":    {"extensionList"},
	"OptionManager":       {"setting"},
	"CustomFieldsManager": {"field"},
}

const xmlHead = `<content xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xsd="http://www.w3.org/2001/XMLSchema">`

// openJournal brings back what an earlier run left, and writes on from there.
func (w *world) openJournal(path string) error {
	records, err := readJournal(path)
	if err != nil {
		return err
	}
	if len(records) > 0 {
		if err := w.restore(records); err != nil {
			return fmt.Errorf("%s: %v", path, err)
		}
	}
	fresh := path + ".new"
	file, err := os.OpenFile(fresh, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	j := &journal{file: file, written: map[string]uint64{}}
	w.commit()
	all, ports := map[ref]bool{}, map[string]bool{}
	for kind := range saved {
		for _, r := range w.everything(kind) {
			all[r] = true
		}
	}
	for _, s := range w.switches {
		for _, p := range s.ports {
			ports[p.id()] = true
		}
	}
	gone := map[ref]bool{}
	for _, rec := range records {
		if rec.Gone {
			gone[ref{Type: rec.Type, Value: rec.Value}] = true
		}
	}
	j.write(w, all, ports, gone)
	if err := os.Rename(fresh, path); err != nil {
		return err
	}
	w.journal = j
	return nil
}

func readJournal(path string) ([]*record, error) {
	file, err := os.Open(path)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	latest := map[string]*record{}
	var order []string
	reader := bufio.NewReaderSize(file, 1<<20)
	for number := 1; ; number++ {
		line, err := reader.ReadBytes('\n')
		if err == io.EOF {
			break // a line without an end is one that was never finished
		}
		if err != nil {
			return nil, err
		}
		rec := &record{}
		if err := json.Unmarshal(line, rec); err != nil {
			return nil, fmt.Errorf("%s:%d: %v", path, number, err)
		}
		key := rec.Type + ":" + rec.Value
		if latest[key] == nil {
			order = append(order, key)
		}
		latest[key] = rec
	}
	var records []*record
	for _, key := range order {
		records = append(records, latest[key])
	}
	return records, nil
}

// write appends what changed.
func (j *journal) write(w *world, touched map[ref]bool, ports map[string]bool, gone map[ref]bool) {
	out := bufio.NewWriter(j.file)
	lines := json.NewEncoder(out)
	lines.SetEscapeHTML(false) // most of a line is XML
	add := func(rec *record) {
		rec.Next, rec.MAC = w.next, w.mac
		if err := lines.Encode(rec); err != nil {
			log.Printf("state file: %v", err)
		}
	}
	for r := range gone {
		if saved[r.Type] != nil && w.get(r) == nil {
			add(&record{Type: r.Type, Value: r.Value, Gone: true})
			delete(j.written, r.Type+":"+r.Value)
		}
	}
	for r := range touched {
		if rec := w.recordOf(r); rec != nil && j.news(rec) {
			add(rec)
		}
	}
	for id := range ports {
		if rec := w.portRecord(id); rec != nil && j.news(rec) {
			add(rec)
		}
	}
	if err := out.Flush(); err != nil {
		log.Printf("state file: %v", err)
	}
}

func (j *journal) news(rec *record) bool {
	print := fingerprint(rec)
	key := rec.Type + ":" + rec.Value
	if j.written[key] == print {
		return false
	}
	j.written[key] = print
	return true
}

func (w *world) recordOf(r ref) *record {
	properties := saved[r.Type]
	obj := w.get(r)
	if properties == nil || obj == nil || r.Type == "OptionManager" && r != *w.service.Content.Setting {
		return nil
	}
	content := types.ObjectContent{Obj: r}
	for _, name := range properties {
		if value, _ := w.property(obj, name); value != nil {
			content.PropSet = append(content.PropSet, types.DynamicProperty{Name: name, Val: value})
		}
	}
	text, err := xmlOf(&content)
	if err != nil {
		log.Printf("state file: %s: %v", r, err)
		return nil
	}
	return &record{Type: r.Type, Value: r.Value, Content: text, Dead: w.hosts.dead[r]}
}

const portRecordType = "port"

func (w *world) portRecord(id string) *record {
	parts := strings.SplitN(id, "/", 2)
	s := w.switches[parts[0]]
	if s == nil {
		return nil
	}
	p := s.ports[parts[1]]
	if p == nil {
		return nil
	}
	rec := &record{Type: portRecordType, Value: id, Port: &portSaved{Version: p.version, Name: p.name, Description: p.description, Cookie: p.cookie}}
	if p.setting != nil {
		text, err := xmlOf(&types.ObjectContent{Obj: s.Self, PropSet: []types.DynamicProperty{{Name: "setting", Val: *p.setting}}})
		if err != nil {
			log.Printf("state file: port %s: %v", id, err)
			return nil
		}
		rec.Content = text
	}
	return rec
}

func xmlOf(content *types.ObjectContent) (string, error) {
	var out bytes.Buffer
	e := xml.NewEncoder(&out)
	if err := e.EncodeElement(content, xml.StartElement{Name: xml.Name{Local: "object"}}); err != nil {
		return "", err
	}
	return out.String(), nil
}

func contentOf(text string) (*types.ObjectContent, error) {
	wrapper := struct {
		Object types.ObjectContent `xml:"object"`
	}{}
	d := xml.NewDecoder(strings.NewReader(xmlHead + text + "</content>"))
	d.TypeFunc = types.TypeFunc()
	err := d.Decode(&wrapper)
	return &wrapper.Object, err
}
