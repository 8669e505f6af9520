// SPDX-License-Identifier: Apache-2.0

package main

import (
	"reflect"
	"time"

	"github.com/vmware/govmomi/vim25/types"
)

// merge lays what is set in `from` over what `onto` points at, as vCenter does with the specs of port groups and switches:
// what a spec does not mention stays. Policies are merged member by member; a VLAN, a list or a filter is replaced whole.
func merge(onto, from interface{}) {
	mergeStruct(reflect.ValueOf(onto).Elem(), reflect.ValueOf(from).Elem())
}

var filterPolicyType = reflect.TypeOf(types.DvsFilterPolicy{})

func mergeStruct(onto, from reflect.Value) {
	for i := 0; i < from.NumField(); i++ {
		source, target := from.Field(i), onto.Field(i)
		switch source.Kind() {
		case reflect.Struct:
			if _, ok := source.Interface().(time.Time); ok {
				target.Set(source)
			} else {
				mergeStruct(target, source)
			}
		case reflect.Bool:
			target.Set(source) // a required one is always set
		case reflect.Ptr:
			if source.IsNil() {
				continue
			}
			if source.Type().Elem().Kind() != reflect.Struct || target.IsNil() || source.Type().Elem() == filterPolicyType {
				target.Set(clone(source))
				continue
			}
			mergeStruct(target.Elem(), source.Elem())
		default:
			if !source.IsZero() {
				target.Set(clone(source))
			}
		}
	}
}

// clone copies a value with everything below it.
func clone(v reflect.Value) reflect.Value {
	switch v.Kind() {
	case reflect.Ptr:
		if v.IsNil() {
			return v
		}
		c := reflect.New(v.Type().Elem())
		c.Elem().Set(clone(v.Elem()))
		return c
	case reflect.Interface:
		if v.IsNil() {
			return v
		}
		c := reflect.New(v.Type()).Elem()
		c.Set(clone(v.Elem()))
		return c
	case reflect.Slice:
		if v.IsNil() {
			return v
		}
		c := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		for i := 0; i < v.Len(); i++ {
			c.Index(i).Set(clone(v.Index(i)))
		}
		return c
	case reflect.Struct:
		if _, ok := v.Interface().(time.Time); ok {
			return v
		}
		c := reflect.New(v.Type()).Elem()
		for i := 0; i < v.NumField(); i++ {
			c.Field(i).Set(clone(v.Field(i)))
		}
		return c
	}
	return v
}

// cloned is clone for a pointer to a struct.
func cloned[T any](v *T) *T {
	return clone(reflect.ValueOf(v)).Interface().(*T)
}

// inherit marks every policy of a port's setting as taken from its port group.
func inherit(v reflect.Value) {
	switch v.Kind() {
	case reflect.Ptr, reflect.Interface:
		if !v.IsNil() {
			inherit(v.Elem())
		}
	case reflect.Struct:
		for i := 0; i < v.NumField(); i++ {
			if v.Type().Field(i).Name == "Inherited" {
				v.Field(i).SetBool(true)
			} else {
				inherit(v.Field(i))
			}
		}
	}
}

// dropInherited takes out of an override what says of itself that it is inherited.
func dropInherited(s *types.VMwareDVSPortSetting) {
	v := reflect.ValueOf(s).Elem()
	dropFields(v.FieldByName("DVPortSetting"))
	dropFields(v)
}

func dropFields(v reflect.Value) {
	for i := 0; i < v.NumField(); i++ {
		field := v.Field(i)
		if field.Kind() != reflect.Ptr && field.Kind() != reflect.Interface || field.IsNil() {
			continue
		}
		policy := field.Elem()
		if policy.Kind() == reflect.Ptr {
			policy = policy.Elem()
		}
		if inherited := policy.FieldByName("Inherited"); inherited.IsValid() && inherited.Bool() {
			field.Set(reflect.Zero(field.Type()))
		}
	}
}
