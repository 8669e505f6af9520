// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/binary"
	"hash"
	"hash/fnv"
	"math"
	"reflect"
	"time"
)

// fingerprint tells whether a value changed, without keeping a copy of it.
func fingerprint(value interface{}) uint64 {
	h := fnv.New64a()
	if value != nil {
		digest(h, reflect.ValueOf(value))
	}
	return h.Sum64()
}

func number(h hash.Hash64, n uint64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], n)
	_, _ = h.Write(b[:])
}

func digest(h hash.Hash64, v reflect.Value) {
	switch v.Kind() {
	case reflect.Ptr, reflect.Interface:
		if v.IsNil() {
			number(h, 0)
			return
		}
		if v.Kind() == reflect.Interface {
			_, _ = h.Write([]byte(v.Elem().Type().String()))
		}
		digest(h, v.Elem())
	case reflect.Struct:
		if t, ok := v.Interface().(time.Time); ok {
			number(h, uint64(t.UnixNano()))
			return
		}
		for i := 0; i < v.NumField(); i++ {
			digest(h, v.Field(i))
		}
	case reflect.Slice, reflect.Array:
		number(h, uint64(v.Len())+1)
		for i := 0; i < v.Len(); i++ {
			digest(h, v.Index(i))
		}
	case reflect.String:
		number(h, uint64(v.Len())+1)
		_, _ = h.Write([]byte(v.String()))
	case reflect.Bool:
		if v.Bool() {
			number(h, 2)
		} else {
			number(h, 1)
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		number(h, uint64(v.Int()))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		number(h, v.Uint())
	case reflect.Float32, reflect.Float64:
		number(h, math.Float64bits(v.Float()))
	}
}
