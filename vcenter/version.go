// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strconv"
	"strings"
)

// dvsVersions are the versions of distributed switches, oldest first, each with the oldest ESXi that can be in one.
var dvsVersions = [][2]string{
	{"5.0.0", "5.0.0"}, {"5.1.0", "5.1.0"}, {"5.5.0", "5.5.0"}, {"6.0.0", "6.0.0"}, {"6.5.0", "6.5.0"}, {"6.6.0", "6.7.0"},
	{"7.0.0", "7.0.0"}, {"7.0.2", "7.0.2"}, {"7.0.3", "7.0.3"}, {"8.0.0", "8.0.0"}, {"8.0.3", "8.0.3"}, {"9.0.0", "9.0.0"},
}

// minimumHost is the oldest ESXi for a switch of that version, or nothing if there is no such version.
func minimumHost(dvs string) string {
	for _, v := range dvsVersions {
		if v[0] == dvs {
			return v[1]
		}
	}
	return ""
}

// newestDVS is what a vCenter makes that is not told a version.
func newestDVS(vcenter string) string {
	newest := dvsVersions[0][0]
	for _, v := range dvsVersions {
		if notOlder(vcenter, v[1]) {
			newest = v[0]
		}
	}
	return newest
}

// notOlder compares dotted versions number by number.
func notOlder(have, want string) bool {
	a, b := strings.Split(have, "."), strings.Split(want, ".")
	for i := 0; i < len(b); i++ {
		x, y := 0, 0
		if i < len(a) {
			x, _ = strconv.Atoi(a[i])
		}
		y, _ = strconv.Atoi(b[i])
		if x != y {
			return x > y
		}
	}
	return true
}
