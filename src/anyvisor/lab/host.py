# SPDX-License-Identifier: Apache-2.0
"""A host: a namespace with the switch that the host came with, and on a KVM host the agent.

What the host's operator has set up is made here: the bridge with the first card and the host's address. The rest
(br-int, OVN's settings, plugging vNICs) is the agent's.
"""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec

from anyvisor.lab import daemon, dpu, namespace, switch
from anyvisor.lab.manifest import Recorder
from anyvisor.lab.place import DATABASE_PORT, Place
from anyvisor.lab.programs import Programs
from anyvisor.lab.topology import LabHost, Topology
from anyvisor.model.kinds import SwitchKind

AGENT = "agent"


def start(place: Place, topology: Topology, host: LabHost, programs: Programs, recorder: Recorder) -> None:
    """Bring the host to where its operator would hand it over; cables and vNICs are there already."""
    if host.is_esxi:
        _start_native(place, host, programs, recorder)
    if host.is_emulated or (host.is_esxi and host.dpu is None):
        return
    part, inside = host.card, place.namespace(host.card)
    cards = [nic.name for nic in host.nics if host.part_of(nic) == part]
    if host.dpu is not None:
        dpu.write_state(place, topology, host, host.dpu)
        if not host.is_esxi:
            namespace.batch(dpu.host_lines(topology, host.dpu), inside=place.namespace(host.name))
            cards.append(dpu.HOST_FUNCTION)
    _switch_on(inside, cards)
    openvswitch = switch.start_script(place, part, programs)
    controller = switch.controller_script(place, part, programs)
    switch.stop_scripts(place, part)
    if host.switch is not SwitchKind.LINUX_BRIDGE:
        daemon.start_by_script(place, part, openvswitch, switch.DAEMONS, recorder)
        switch.configure(place, part, programs, bridge_steps(topology, host))
        daemon.start_by_script(place, part, controller, ["ovn-controller"], recorder)
    else:
        namespace.batch(linux_bridge_lines(topology, host), inside=inside)
    address = f"{host.ip}/{topology.underlay.prefix_length}"
    bridge = host.bridge_on_card
    namespace.batch([f"address add {address} dev {bridge}", f"link set {bridge} up"], inside=inside)
    (place.part(part) / "agent.toml").write_text(agent_settings(place, topology, host), encoding="utf-8")


def _start_native(place: Place, host: LabHost, programs: Programs, recorder: Recorder) -> None:
    """The Open vSwitch that plays the native switches: nobody controls it but the emulator."""
    own = [nic.name for nic in host.nics if host.part_of(nic) == host.name]
    _switch_on(place.namespace(host.name), own)
    script = switch.start_script(place, host.name, programs)
    daemon.start_by_script(place, host.name, script, switch.DAEMONS, recorder)


def _switch_on(inside: str, cards: list[str]) -> None:
    namespace.forgo_transmit_checksum(inside, cards)
    namespace.batch([f"link set {card} up" for card in cards], inside=inside)


def bridge_steps(topology: Topology, host: LabHost) -> tuple[tuple[str, ...], ...]:
    """The operator's own bridge on a host with Open vSwitch.

    Tunnels of a switch in user space need their local address on a bridge of the same switch.
    """
    bridge, cable = host.bridge_on_card, host.cable or host.nics[0]
    beside = host.dpu is not None and not host.is_esxi
    return (
        ("add-br", bridge),
        ("set", "bridge", bridge, "datapath_type=netdev", "fail-mode=standalone"),
        ("add-port", bridge, cable.name),
        *((("add-port", bridge, dpu.HOST_FUNCTION),) if beside else ()),
        ("set", "Interface", bridge, f"mtu_request={topology.underlay.mtu}"),
    )


def linux_bridge_lines(topology: Topology, host: LabHost) -> tuple[str, ...]:
    """The operator's own bridge on a host with Linux bridges."""
    card = host.nics[0].name
    return (
        f"link add {host.bridge} mtu {topology.underlay.mtu} type bridge forward_delay 0 mcast_snooping 0",
        f"link set {card} master {host.bridge}",
    )


def agent_settings(place: Place, topology: Topology, host: LabHost) -> str:
    """The host's agent.toml."""
    database = f"tcp:{topology.underlay.central}:{DATABASE_PORT}"
    folder = place.part(host.card)
    card = [f"devlink = {json.dumps(dpu.devlink(place, host))}"] if host.dpu is not None else []
    return "\n".join(
        [
            f'host = "{host.name}"',
            f'database = "{database}"',
            f'ovs = "{place.switch_database(host.card)}"',
            f'hypervisor = "{"listed" if host.dpu is None else "smartnic"}"',
            *card,
            "interval_seconds = 1",
            "probe_seconds = 5",
            f'start_openvswitch = ["{folder}/start-openvswitch"]',
            f'stop_openvswitch = ["{folder}/stop-openvswitch"]',
            f'start_ovn_controller = ["{folder}/start-ovn-controller"]',
            f'stop_ovn_controller = ["{folder}/stop-ovn-controller"]',
            'ovn_bridge_datapath = "netdev"',
            f'state_dir = "{folder}/agent"',
            "",
        ]
    )


def agent_is_there() -> bool:
    """Whether this installation has the agent."""
    return find_spec("anyvisor.cli.agent") is not None


def start_agent(place: Place, host: str, recorder: Recorder) -> None:
    """Start the host's agent as a daemon; to restart it, end the old one first."""
    folder = place.part(host)
    (folder / "agent").mkdir(exist_ok=True)
    argv = [sys.executable, "-m", "anyvisor", "agent", "--config", str(folder / "agent.toml")]
    daemon.start_detached(place, host, AGENT, argv, recorder=recorder, extra={"PYTHONUNBUFFERED": "1"})
