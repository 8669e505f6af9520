# SPDX-License-Identifier: Apache-2.0
"""The physical network between the hosts: a switch with VLANs that nobody programs.

The kernel's bridge may lack VLAN filtering, so the fabric is an Open vSwitch of its own that learns addresses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from anyvisor.lab import daemon, namespace, switch
from anyvisor.lab.manifest import Recorder
from anyvisor.lab.place import CENTRAL, FABRIC, Place
from anyvisor.lab.programs import Programs
from anyvisor.lab.topology import VCENTER, Topology


@dataclass(frozen=True, slots=True, kw_only=True)
class Cable:
    """A card of some part and the fabric's port at the other end. `vlan` None: a trunk, the underlay untagged."""

    part: str
    card: str
    port: str
    vlan: int | None


def cables(topology: Topology) -> tuple[Cable, ...]:
    """Every cable of the fabric."""
    return tuple(_cables(topology))


def _cables(topology: Topology) -> Iterator[Cable]:
    yield Cable(part=CENTRAL, card="eth0", port=CENTRAL, vlan=topology.underlay.vlan)
    if topology.esxi_hosts:
        yield Cable(part=VCENTER, card="eth0", port=VCENTER, vlan=topology.underlay.vlan)
    for outsider in topology.outside:
        yield Cable(part=outsider.name, card="eth0", port=outsider.name, vlan=outsider.vlan)
    for host in topology.hosts:
        if host.is_emulated:
            continue  # its emulator brings its cables with it
        for number, nic in enumerate(host.nics):
            yield Cable(part=host.part_of(nic), card=nic.name, port=f"{host.name}-{number}", vlan=nic.vlan)


def link_lines(place: Place, topology: Topology) -> tuple[str, ...]:
    """What `ip` is told to lay the cables."""
    mtu = topology.underlay.mtu
    fabric = place.namespace(FABRIC)
    return tuple(
        f"link add {cable.card} netns {place.namespace(cable.part)} mtu {mtu} type veth "
        f"peer name {cable.port} netns {fabric} mtu {mtu}"
        for cable in cables(topology)
    )


def bridge_steps(topology: Topology) -> tuple[tuple[str, ...], ...]:
    """What `ovs-vsctl` is told to make the switch."""
    steps: list[tuple[str, ...]] = [
        ("add-br", "fabric"),
        ("set", "bridge", "fabric", "datapath_type=netdev", "fail-mode=standalone"),
    ]
    for cable in cables(topology):
        mode = ("vlan_mode=native-untagged", f"tag={topology.underlay.vlan}")
        if cable.vlan is not None:
            mode = ("vlan_mode=access", f"tag={cable.vlan}")
        steps.append(("add-port", "fabric", cable.port, *mode))
    steps.append(("set", "Interface", "fabric", f"mtu_request={topology.underlay.mtu}"))
    return tuple(steps)


def start(place: Place, topology: Topology, programs: Programs, recorder: Recorder) -> None:
    """Start the switch; its cables lie already."""
    namespace.batch(
        [f"link set {cable.port} up" for cable in cables(topology)], inside=place.namespace(FABRIC)
    )
    path = switch.start_script(place, FABRIC, programs)
    daemon.start_by_script(place, FABRIC, path, switch.DAEMONS, recorder)
    switch.configure(place, FABRIC, programs, bridge_steps(topology))
