#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs a command with the OVN and Open vSwitch of Debian 13 in front of PATH, unpacked into .cache/ovn-next. Needs
# no root and installs nothing: its programs are started through their own dynamic linker and libraries.
set -euo pipefail
cd "$(dirname "$0")/.."

suite=trixie
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
cache=$PWD/.cache/ovn-next
root=$cache/root

if [[ ! -e $cache/ready ]]; then
  [[ -e $keyring ]] || { echo "ovn-next: $keyring is missing (package debian-archive-keyring)" >&2; exit 1; }
  echo "==> unpacking OVN of Debian $suite into $cache" >&2
  rm -rf "$cache"
  mkdir -p "$cache"/{etc/preferences.d,etc/apt.conf.d,lists/partial,archives/partial,root,bin}
  echo "deb [signed-by=$keyring] $mirror $suite main" >"$cache/etc/sources.list"
  apt=(apt-get -qq -o Dir::Etc="$cache/etc" -o Dir::State::lists="$cache/lists" -o Dir::Cache="$cache"
    -o Dir::State::status=/dev/null -o APT::Sandbox::User= -o Debug::NoLocking=1 -o APT::Install-Recommends=false)
  "${apt[@]}" update
  "${apt[@]}" install --download-only -y openvswitch-switch ovn-central ovn-host >/dev/null
  for package in "$cache"/archives/*.deb; do dpkg-deb -x "$package" "$root"; done
  for folder in bin sbin lib lib64; do # a root to change into as well (anyvisor lab up --chroot)
    [[ -e $root/$folder || ! -d $root/usr/$folder ]] || ln -s "usr/$folder" "$root/$folder"
  done
  mkdir -p "$root"/{dev,proc,run,sys,tmp}
  ln -sf ../lib/openvswitch-switch/ovs-vswitchd "$root/usr/sbin/ovs-vswitchd" # as update-alternatives would
  rm -rf "$cache/archives" "$cache/lists"
  linker=$(find "$root"/usr/lib -name 'ld-linux-*.so.*' | head -1)
  libraries=$(dirname "$linker")
  for program in "$root"/usr/{bin,sbin}/ov[ns]*-{server,vswitchd,northd,controller,nbctl,sbctl,vsctl,appctl,ofctl,dpctl,tool,client,trace}; do
    [[ -x $program && $(head -c 4 "$program") == $'\x7fELF' ]] || continue
    name=$(basename "$program")
    printf '#!/bin/sh\nexec %q --argv0 %s --library-path %q %q "$@"\n' "$linker" "$name" "$libraries" "$program" >"$cache/bin/$name"
    chmod +x "$cache/bin/$name"
  done
  touch "$cache/ready"
fi

export PATH=$cache/bin:$PATH OVS_PKGDATADIR=$root/usr/share/openvswitch OVN_PKGDATADIR=$root/usr/share/ovn
ovn-northd --version | head -1 >&2
exec "$@"
