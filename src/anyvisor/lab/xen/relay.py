# SPDX-License-Identifier: Apache-2.0
"""Guests of an emulated Xen host that pass on what a VM of the lab sends: so every probe of the lab can be made there.

The VM is a namespace as any other. Its card leads by a VLAN of its own to the Xen host's last card, in dom0 to a bridge
of its own, and by a second vif into the guest; the guest bridges it with its first vif, which is the one under test and
has the VM's MAC address in its configuration. What meets the switches of the Xen host are the VM's own frames.
"""

from __future__ import annotations

from collections.abc import Iterable

from anyvisor.lab import switch
from anyvisor.lab.place import FABRIC, Place
from anyvisor.lab.programs import Programs
from anyvisor.lab.topology import LabVm
from anyvisor.lab.xen.machine import XenMachine

FIRST_VLAN = 11
MEMORY_MIB = 96


def join(place: Place, name: str, tap: str, programs: Programs, vms: Iterable[tuple[str, int]]) -> None:
    """Join the Xen host's last card (`tap`) with the VMs' cards, by their ends in the fabric, each on its VLAN."""
    bridge = f"relay-{name}"
    steps: list[tuple[str, ...]] = [
        ("--may-exist", "add-br", bridge),
        ("set", "bridge", bridge, "datapath_type=netdev", "fail-mode=standalone"),
        ("--may-exist", "add-port", bridge, tap),
        *(("--may-exist", "add-port", bridge, device, f"tag={vlan}") for device, vlan in vms),
    ]
    switch.configure(place, FABRIC, programs, steps)


def prepare(machine: XenMachine, vlans: Iterable[int]) -> None:
    """In dom0: the card up, and for each VLAN a bridge that leads to it."""
    card = machine.relay_card
    machine.do("ip", "link", "set", card, "mtu", str(machine.mtu), "up")
    for vlan in vlans:
        link, bridge = f"{card}.{vlan}", bridge_of(vlan)
        machine.do("ip", "link", "add", "link", card, "name", link, "type", "vlan", "id", str(vlan))
        machine.do("ip", "link", "add", bridge, "type", "bridge", "forward_delay", "0", "mcast_snooping", "0")
        machine.do("ip", "link", "set", link, "master", bridge, "up")
        machine.do("ip", "link", "set", bridge, "up")


def bridge_of(vlan: int) -> str:
    """The bridge in dom0 that leads to the VM on that VLAN."""
    return f"relay{vlan}"


def create(machine: XenMachine, vm: LabVm, vlan: int, *, served: str = "") -> None:
    """Start the guest of a VM. `served` names a domain other than dom0 that its vif is served by.

    Raises:
        TerminalError: xl refuses.
    """
    backend = f",backend={served}" if served else ",bridge=xenbr0"
    vifs = [
        f"mac={vm.mac},script=vif-anyvisor,mtu={machine.mtu}{backend}",
        f"mac=00:16:3e:77:00:{vlan:02x},script=vif-bridge,bridge={bridge_of(vlan)}",
    ]
    lines = [
        f'name="{vm.name}"',
        'type="pv"',
        'kernel="/payload/guest/kernel"',
        'ramdisk="/payload/guest/ramdisk-relay"',
        'extra="console=hvc0 quiet net.ifnames=0"',
        f"memory={MEMORY_MIB}",
        "vcpus=1",
        f"vif=[{', '.join(repr(vif) for vif in vifs)}]",
    ]
    machine.write(f"/etc/xen/{vm.name}.cfg", "\n".join(lines) + "\n")
    machine.do("rm", "-f", f"/var/log/xen/console/guest-{vm.name}.log")
    machine.do("xl", "create", f"/etc/xen/{vm.name}.cfg", seconds=180)


def passes(machine: XenMachine, vm: LabVm) -> bool:
    """Whether the guest has begun to pass frames on."""
    console = f"/var/log/xen/console/guest-{vm.name}.log"
    return "passes on" in machine.order("cat", console).said
