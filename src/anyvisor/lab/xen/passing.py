# SPDX-License-Identifier: Apache-2.0
"""What a guest boots that passes on what another machine sends (see `anyvisor.lab.xen.relay`)."""

from __future__ import annotations

INIT = """\
#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /sbin /usr/bin /usr/sbin
/bin/busybox --install -s
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in $(cat /modules/order); do insmod "/modules/$module"; done
echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6
echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
ip link set lo up
# The VM has this card's address: here it is nobody's.
ip link set eth0 address 02:00:00:00:00:01
brctl addbr br0
echo 0 >/sys/class/net/br0/bridge/multicast_snooping
for card in eth0 eth1; do ip link set $card mtu 1700; brctl addif br0 $card; ip link set $card up; done
ip link set br0 up
echo "{prefix} passes on"
while :; do sleep 3600; done
"""
"""The first process of such a guest."""
MODULES = ("xen-netfront", "bridge")
