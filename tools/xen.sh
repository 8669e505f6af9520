#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes the disk of the emulated Xen host in .cache/xen: Debian 12 with Xen, Open vSwitch and ovn-controller, nothing of
# ours; and with the kernel's simulated network card (netdevsim), which Debian's kernel leaves out: it is built from
# Debian's own source of that kernel. Needs root, the Debian mirror, 4 GB of disk and some minutes, once per list of
# packages.
set -euo pipefail
cd "$(dirname "$0")/.."

suite=bookworm
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
packages=linux-image-amd64,xen-utils-4.17,xen-hypervisor-4.17-amd64,xenstore-utils,openvswitch-switch,ovn-host,python3
packages+=,iproute2,iputils-ping,bridge-utils,procps,kmod,udev,busybox-static,ethtool
cache=$PWD/.cache/xen
key=$(printf '%s %s 2' "$suite" "$packages" | sha256sum | cut -c1-16)

[[ $(cat "$cache/ready" 2>/dev/null) != "$key" ]] || exit 0
[[ $(uname -m) == x86_64 ]] || { echo "xen: the emulated host is x86-64, this machine is not" >&2; exit 1; }
echo "==> making the disk of the emulated Xen host (some minutes, once)" >&2
rm -rf "$cache"
mkdir -p "$cache"
debootstrap --keyring=/usr/share/keyrings/debian-archive-keyring.gpg --force-check-gpg --variant=minbase --include="$packages" "$suite" "$cache/root" "$mirror" >"$cache/debootstrap.log" 2>&1 ||
  { tail -20 "$cache/debootstrap.log" >&2; exit 1; }

echo "==> building netdevsim for its kernel" >&2
kernel=$(cd "$cache/root/boot" && echo vmlinuz-*)
kernel=${kernel#vmlinuz-}
series=${kernel%%.0-*}
mkdir -p "$cache/root/build"
(
  # apt checks what it downloads against the signed lists of the same suite.
  chroot "$cache/root" apt-get -q update
  chroot "$cache/root" sh -c "cd /build && apt-get -q download 'linux-headers-$kernel' 'linux-headers-${kernel%-*}-common' \
    'linux-kbuild-$series' 'linux-source-$series'"
  for package in "$cache"/root/build/*.deb; do dpkg-deb -x "$package" "$cache/build"; done
  tar -C "$cache/build" -xJf "$cache/build/usr/src/linux-source-$series.tar.xz" "linux-source-$series/drivers/net/netdevsim"
) >"$cache/netdevsim.log" 2>&1 || { tail -20 "$cache/netdevsim.log" >&2; exit 1; }
rm -rf "$cache/root/build"
source=$cache/build/linux-source-$series/drivers/net/netdevsim
# The headers name each other by their places in the system that they are for.
mkdir -p "/usr/lib/linux-kbuild-$series"
unshare --mount bash -euc "
  mount --bind '$cache/build/usr/src' /usr/src
  mount --bind '$cache/build/usr/lib/linux-kbuild-$series' '/usr/lib/linux-kbuild-$series'
  make -C '/usr/src/linux-headers-$kernel' M='$source' CONFIG_NETDEVSIM=m modules" >>"$cache/netdevsim.log" 2>&1 ||
  { tail -20 "$cache/netdevsim.log" >&2; exit 1; }
rmdir --ignore-fail-on-non-empty "/usr/lib/linux-kbuild-$series"
strip --strip-debug "$source/netdevsim.ko"
install -D -m 644 "$source/netdevsim.ko" "$cache/root/lib/modules/$kernel/extra/netdevsim.ko"
chroot "$cache/root" depmod "$kernel"
rm -rf "$cache/build"

cp "$cache"/root/boot/vmlinuz-* "$cache/vmlinuz"
cp "$cache"/root/boot/initrd.img-* "$cache/ramdisk"
zcat "$cache"/root/boot/xen-4.17-amd64.gz >"$cache/xen"
mkdir -p "$cache/root/payload" "$cache/boot" "$cache/modules"
cat >"$cache/root/init-lab" <<'INIT'
#!/bin/sh
# The first process of dom0, and of the appliance that boots from a copy of this disk: the second disk says the rest.
mountpoint -q /proc || mount -t proc proc /proc
mountpoint -q /dev || mount -t devtmpfs dev /dev
for disk in /dev/sdb /dev/xvdb; do
  if [ -b "$disk" ]; then mount -o ro "$disk" /payload; fi
done
case " $(cat /proc/cmdline) " in *" anyvisor.appliance "*) exec /payload/init-appliance ;; esac
exec /payload/init
INIT
chmod 755 "$cache/root/init-lab"
rm -rf "$cache"/root/var/cache/apt/archives/*.deb "$cache"/root/var/lib/apt/lists/*
# What guests boot, and what their RAM disks are made of.
cp "$cache"/root/boot/vmlinuz-* "$cache/boot/"
cp -r "$cache"/root/lib/modules/* "$cache/modules/"
truncate -s 3G "$cache/root.img"
mke2fs -q -t ext4 -d "$cache/root" "$cache/root.img"
rm -rf "$cache/root"
echo "$key" >"$cache/ready"
