# SPDX-License-Identifier: Apache-2.0
"""A virtual machine: a namespace with one card, a real DHCP client, and a prober that answers and asks.

The host's end of the card has the guest's MAC address with the first octet fe, as libvirt makes it: that is how a
vNIC is found by its MAC.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from anyvisor.lab import daemon, manifest, namespace, process
from anyvisor.lab.manifest import Recorder
from anyvisor.lab.place import Place
from anyvisor.lab.topology import LabVm, Topology

CARD = "eth0"
DHCP = "dhcp"

SYSCTLS: Mapping[str, str] = {
    # Ask for a router until one answers: the networks may be made long after the VM is.
    f"net/ipv6/conf/{CARD}/router_solicitations": "-1",
    f"net/ipv6/conf/{CARD}/router_solicitation_interval": "1",
    f"net/ipv6/conf/{CARD}/router_solicitation_max_interval": "2",
    "net/ipv4/ping_group_range": "0 0",
}

KEEP_NEIGHBOURS = (f"net/ipv4/conf/{CARD}/arp_evict_nocarrier", f"net/ipv6/conf/{CARD}/ndisc_evict_nocarrier")
"""A machine that moves to another host does not notice, but its card here loses the carrier. Since Linux 5.16."""

LEASE_SCRIPT = """\
#!/bin/sh
# Called by udhcpc: takes the lease over into the machine and writes it down.
here=$(dirname "$0")
case $1 in
deconfig)
  ip -4 address flush dev "$interface"
  rm -f "$here/lease" ;;
bound|renew)
  ip link set dev "$interface" mtu "${mtu:-1500}"
  ip -4 address replace "$ip/$mask" dev "$interface"
  for gateway in $router; do ip route replace default via "$gateway" dev "$interface"; done
  printf '%s\\n' "ip=$ip" "mask=$mask" "mtu=$mtu" "router=$router" "server=$serverid" "dns=$dns" >"$here/lease.new"
  mv "$here/lease.new" "$here/lease" ;;
esac
exit 0
"""


def host_mac(mac: str) -> str:
    """The MAC address of the host's end."""
    return "fe" + mac[2:]


def link_line(place: Place, topology: Topology, vm: LabVm) -> str:
    """What `ip` is told to make the vNIC. A function's representor has an address of its own, as on a real card."""
    host = topology.host(vm.host)
    far = f"peer name {topology.device(vm)} netns {place.namespace(host.card)}"
    address = "" if host.dpu is not None else f" address {host_mac(vm.mac)}"
    return f"link add {CARD} netns {place.namespace(vm.name)} address {vm.mac} type veth {far}{address}"


def switch_on(place: Place, vm: LabVm, recorder: Recorder) -> None:
    """Boot the machine: card up, DHCP client running and asking until it is answered."""
    inside = place.namespace(vm.name)
    namespace.write_sysctls(inside, SYSCTLS)
    kept = [key for key in KEEP_NEIGHBOURS if Path("/proc/sys", key.replace(CARD, "all")).exists()]
    namespace.write_sysctls(inside, dict.fromkeys(kept, "0"))
    namespace.forgo_transmit_checksum(inside, [CARD])
    namespace.batch([f"link set {CARD} up"], inside=inside)
    folder = place.part(vm.name)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "take-lease"
    path.write_text(LEASE_SCRIPT, encoding="utf-8")
    path.chmod(0o755)
    daemon.start_detached(place, vm.name, DHCP, dhcp_client(vm, path), recorder=recorder)


def ask_anew(place: Place, vm: LabVm, recorder: Recorder) -> None:
    """Let it forget its lease and what routers told it, as a machine that is switched on."""
    for one in manifest.read(place.manifest).processes:
        if (one.part, one.what) == (vm.name, DHCP) and process.alive(one.pid, one.start):
            process.end([one.pid])
    path = place.part(vm.name) / "take-lease"
    (place.part(vm.name) / "lease").unlink(missing_ok=True)
    lines = [f"address flush dev {CARD}", f"link set {CARD} down", f"link set {CARD} up"]
    namespace.batch(lines, inside=place.namespace(vm.name))
    daemon.start_detached(place, vm.name, DHCP, dhcp_client(vm, path), recorder=recorder)


def dhcp_client(vm: LabVm, path: Path) -> list[str]:
    """One discovery a second, for as long as it takes."""
    often = ["-t", "1", "-T", "1", "-A", "1"]
    return [
        "busybox",
        "udhcpc",
        "-f",
        "-i",
        CARD,
        "-s",
        str(path),
        *often,
        "-O",
        "mtu",
        "-x",
        f"hostname:{vm.name}",
    ]


def lease(place: Place, vm: str) -> Mapping[str, str]:
    """What the machine's DHCP client was given: ip, mask, mtu, router, server, dns. Empty without a lease."""
    try:
        lines = (place.part(vm) / "lease").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    return dict(line.split("=", 1) for line in lines)
