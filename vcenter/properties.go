// SPDX-License-Identifier: Apache-2.0

package main

import (
	"path"
	"reflect"
	"strings"
	"time"

	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// fieldsByType caches, per struct type, which field has which property.
var fieldsByType = map[reflect.Type]map[string][]int{}

func containsOption(tag, option string) bool {
	for _, part := range strings.Split(tag, ",")[1:] {
		if part == option {
			return true
		}
	}
	return false
}

// fieldsOf maps property names to fields, those of embedded types included; the outermost wins.
func fieldsOf(t reflect.Type) map[string][]int {
	if known, ok := fieldsByType[t]; ok {
		return known
	}
	found := map[string][]int{}
	var embedded []reflect.StructField
	for i := 0; i < t.NumField(); i++ {
		f := t.Field(i)
		if f.Anonymous {
			embedded = append(embedded, f)
			continue
		}
		name := f.Tag.Get("mo")
		if name == "" {
			name = strings.Split(f.Tag.Get("xml"), ",")[0]
		}
		if name != "" && name != "-" {
			found[name] = []int{i}
		}
	}
	for _, f := range embedded {
		if f.Type.Kind() != reflect.Struct {
			continue
		}
		for name, index := range fieldsOf(f.Type) {
			if _, ok := found[name]; !ok {
				found[name] = append([]int{f.Index[0]}, index...)
			}
		}
	}
	fieldsByType[t] = found
	return found
}

// managed is the API's view of an object: the struct of package mo that its type begins with.
func managed(obj mo.Reference) reflect.Value {
	v := reflect.ValueOf(obj).Elem()
	for path.Base(v.Type().PkgPath()) != "mo" {
		v = v.Field(0)
	}
	return v
}

// isKind says whether the object is of that type or of one derived from it.
func isKind(obj mo.Reference, kind string) bool {
	t := managed(obj).Type()
	if obj.Reference().Type == kind || t.Name() == kind || kind == "ManagedObject" {
		return true
	}
	f, ok := t.FieldByName(kind)
	return ok && f.Anonymous
}

// property reads one property by its path. `known` is false if the type has no such property; a property that is not set
// is known and has no value.
func (w *world) property(obj mo.Reference, property string) (value interface{}, known bool) {
	segments := strings.Split(property, ".")
	w.refresh(obj, segments[0])
	v := managed(obj)
	for i, name := range segments {
		for v.Kind() == reflect.Ptr || v.Kind() == reflect.Interface {
			if v.IsNil() {
				return nil, true // what lies below something unset is unset, too
			}
			v = v.Elem()
		}
		if v.Kind() != reflect.Struct {
			return nil, false
		}
		index, ok := fieldsOf(v.Type())[name]
		if !ok {
			return nil, i > 1 // the static type may be a base of what is asked for
		}
		v = v.FieldByIndex(index)
	}
	return wrap(v), true
}

// wrap makes a value that can stand in a property; nil if it is unset.
func wrap(v reflect.Value) interface{} {
	switch v.Kind() {
	case reflect.Ptr, reflect.Interface:
		if v.IsNil() {
			return nil
		}
		if v.Kind() == reflect.Interface {
			return wrapped(v.Elem())
		}
		return wrapped(v)
	case reflect.Slice:
		return wrapSlice(v)
	}
	return wrapped(v)
}

func wrapped(v reflect.Value) interface{} {
	for v.Kind() == reflect.Ptr {
		v = v.Elem()
	}
	switch x := v.Interface().(type) {
	case string:
		if x == "" {
			return nil
		}
	case ref:
		if x.Value == "" {
			return nil
		}
	case time.Time:
		if x.IsZero() {
			return nil
		}
	default:
		if v.Kind() == reflect.String && v.Len() == 0 {
			return nil
		}
	}
	return v.Interface()
}

func wrapSlice(v reflect.Value) interface{} {
	switch list := v.Interface().(type) {
	case []string:
		return &types.ArrayOfString{String: list}
	case []byte:
		return &types.ArrayOfByte{Byte: list}
	case []int16:
		return &types.ArrayOfShort{Short: list}
	case []int32:
		return &types.ArrayOfInt{Int: list}
	case []int64:
		return &types.ArrayOfLong{Long: list}
	}
	name := v.Type().Elem().Name()
	kind, ok := types.TypeFunc()("ArrayOf" + name)
	if !ok {
		name = strings.TrimPrefix(name, "Base")
		if kind, ok = types.TypeFunc()("ArrayOf" + name); !ok {
			return nil
		}
	}
	array := reflect.New(kind)
	array.Elem().FieldByName(name).Set(v)
	return array.Interface()
}

// allProperties names the properties of an object's type.
func allProperties(obj mo.Reference) (names []string) {
	for name := range fieldsOf(managed(obj).Type()) {
		names = append(names, name)
	}
	return names
}

// resolve finds an object as this client sees it.
func (c *call) resolve(r ref) mo.Reference {
	if c.session != nil {
		if own := c.session.objects[r]; own != nil {
			return own
		}
		if r.Type == "EventHistoryCollector" || r.Type == "TaskHistoryCollector" {
			own := c.session.sim.Registry.Get(r)
			if get, ok := own.(interface{ Get() mo.Reference }); ok {
				return get.Get()
			}
			return own
		}
	}
	switch r.Type {
	case "SessionManager":
		return c.w.sessionManager(c, r)
	case "PropertyCollector":
		if c.session != nil {
			return c.w.collector(c, r)
		}
	}
	return c.w.get(r)
}
