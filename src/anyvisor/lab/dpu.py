# SPDX-License-Identifier: Apache-2.0
"""A DPU: a namespace of its own between its host and the fabric, with a representor for each function.

The kernel's own cards with a switch are made of hardware. Here a function is a veth pair: the VM has one end, the other
is the representor, and what devlink would say of it stands in a file (`anyvisor.testing.devlink`). Nothing is
offloaded: every frame takes the slow path, through the DPU's Open vSwitch.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anyvisor.lab.place import Place
from anyvisor.lab.topology import LabDpu, LabHost, Topology

CARD = "pci/0000:03:00.0"
HOST_FUNCTION = "pf0hpf"
"""The representor of the physical function that the host itself uses."""
PHYSICAL_FUNCTION = "eth0"
"""What that function is called on the host."""
STATE = "devlink.json"
_HOST = 1
"""The controller that the functions belong to: not the DPU's own (0)."""


def link_line(place: Place, topology: Topology, host: LabHost) -> str:
    """What `ip` is told to make the host's physical function."""
    mtu = topology.underlay.mtu
    return (
        f"link add {PHYSICAL_FUNCTION} netns {place.namespace(host.name)} mtu {mtu} type veth "
        f"peer name {HOST_FUNCTION} netns {place.namespace(host.card)} mtu {mtu}"
    )


def host_lines(topology: Topology, dpu: LabDpu) -> tuple[str, ...]:
    """What `ip` is told inside the host."""
    return (
        f"address add {dpu.host_ip}/{topology.underlay.prefix_length} dev {PHYSICAL_FUNCTION}",
        f"link set {PHYSICAL_FUNCTION} up",
    )


def write_state(place: Place, topology: Topology, host: LabHost, dpu: LabDpu) -> None:
    """What devlink says of the card: each VM was given a function, whose address is the VM's."""
    folder = place.part(host.card)
    folder.mkdir(exist_ok=True)
    (folder / STATE).write_text(json.dumps({CARD: card(topology, host, dpu)}), encoding="utf-8")


def card(topology: Topology, host: LabHost, dpu: LabDpu) -> Mapping[str, Any]:
    """The card in the words of `anyvisor.testing.devlink`."""
    macs = {topology.device(vm): vm.mac for vm in topology.vms_of(host.name)}
    ports: dict[str, Any] = {
        "0": {"type": "eth", "netdev": host.nics[-1].name, "flavour": "physical", "port": 0},
    }
    if not host.is_esxi:  # that host's own traffic has another card here
        ports["1"] = {**_function(HOST_FUNCTION), "flavour": "pcipf"}
    for number in range(dpu.functions):
        device = f"pf0vf{number}"
        port = {**_function(device), "flavour": "pcivf", "vfnum": number}
        if device not in macs:
            del port["netdev"]  # a function that nobody has is not drawn here
        port["function"] = {"hw_addr": macs.get(device, "00:00:00:00:00:00")}
        ports[str(number + 2)] = port
    return {"driver": "mlx5_core", "serial": dpu.serial, "mode": "switchdev", "ports": ports}


def _function(device: str) -> dict[str, Any]:
    return {"type": "eth", "netdev": device, "controller": _HOST, "pfnum": 0, "external": True}


def devlink(place: Place, host: LabHost) -> list[str]:
    """The command that the agent runs for ``devlink``."""
    # Without site packages it starts in a third of the time, and needs none.
    program = Path(__file__).parents[1] / "testing" / "devlink.py"
    return [sys.executable, "-S", "-E", str(program), f"{place.part(host.card)}/{STATE}"]
