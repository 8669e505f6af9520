#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes the disk of the emulated Xen host in .cache/xen: Debian 12 with Xen, Open vSwitch and ovn-controller, nothing of
# ours. Needs root, the Debian mirror, 3 GB of disk and some minutes, once per list of packages.
set -euo pipefail
cd "$(dirname "$0")/.."

suite=bookworm
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
packages=linux-image-amd64,xen-utils-4.17,xen-hypervisor-4.17-amd64,xenstore-utils,openvswitch-switch,ovn-host,python3
packages+=,iproute2,iputils-ping,bridge-utils,procps,kmod,udev,busybox-static,ethtool
cache=$PWD/.cache/xen
key=$(printf '%s %s 1' "$suite" "$packages" | sha256sum | cut -c1-16)

[[ $(cat "$cache/ready" 2>/dev/null) != "$key" ]] || exit 0
[[ $(uname -m) == x86_64 ]] || { echo "xen: the emulated host is x86-64, this machine is not" >&2; exit 1; }
echo "==> making the disk of the emulated Xen host (some minutes, once)" >&2
rm -rf "$cache"
mkdir -p "$cache"
debootstrap --keyring=/usr/share/keyrings/debian-archive-keyring.gpg --force-check-gpg --variant=minbase --include="$packages" "$suite" "$cache/root" "$mirror" >"$cache/debootstrap.log" 2>&1 ||
  { tail -20 "$cache/debootstrap.log" >&2; exit 1; }
cp "$cache"/root/boot/vmlinuz-* "$cache/vmlinuz"
cp "$cache"/root/boot/initrd.img-* "$cache/ramdisk"
zcat "$cache"/root/boot/xen-4.17-amd64.gz >"$cache/xen"
mkdir -p "$cache/root/payload" "$cache/boot" "$cache/modules"
printf '#!/bin/sh\nmount -t devtmpfs dev /dev 2>/dev/null\nmount -o ro /dev/sdb /payload && exec /payload/init\n' >"$cache/root/init-lab"
chmod 755 "$cache/root/init-lab"
rm -rf "$cache"/root/var/cache/apt/archives/*.deb "$cache"/root/var/lib/apt/lists/*
# What guests boot, and what their RAM disks are made of.
cp "$cache"/root/boot/vmlinuz-* "$cache/boot/"
cp -r "$cache"/root/lib/modules/* "$cache/modules/"
truncate -s 3G "$cache/root.img"
mke2fs -q -t ext4 -d "$cache/root" "$cache/root.img"
rm -rf "$cache/root"
echo "$key" >"$cache/ready"
