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
    part, inside = host.card, place.namespace(host.card)
    cards = [nic.name for nic in host.nics]
    if host.dpu is not None:
        namespace.batch(dpu.host_lines(topology, host.dpu), inside=place.namespace(host.name))
        dpu.write_state(place, topology, host, host.dpu)
        cards.append(dpu.HOST_FUNCTION)
    namespace.forgo_transmit_checksum(inside, cards)
    namespace.batch([f"link set {card} up" for card in cards], inside=inside)
    openvswitch = switch.start_script(place, part, programs)
    if host.is_esxi:
        # It plays the native switches: nobody controls it but the emulator.
        daemon.start_by_script(place, part, openvswitch, switch.DAEMONS, recorder)
        return
    controller = switch.controller_script(place, part, programs)
    switch.stop_scripts(place, part)
    if host.switch is not SwitchKind.LINUX_BRIDGE:
        daemon.start_by_script(place, part, openvswitch, switch.DAEMONS, recorder)
        switch.configure(place, part, programs, bridge_steps(topology, host))
        daemon.start_by_script(place, part, controller, ["ovn-controller"], recorder)
    else:
        namespace.batch(linux_bridge_lines(topology, host), inside=inside)
    address = f"{host.ip}/{topology.underlay.prefix_length}"
    namespace.batch([f"address add {address} dev {host.bridge}", f"link set {host.bridge} up"], inside=inside)
    (place.part(part) / "agent.toml").write_text(agent_settings(place, topology, host), encoding="utf-8")


def bridge_steps(topology: Topology, host: LabHost) -> tuple[tuple[str, ...], ...]:
    """The operator's own bridge on a host with Open vSwitch.

    Tunnels of a switch in user space need their local address on a bridge of the same switch.
    """
    return (
        ("add-br", host.bridge),
        ("set", "bridge", host.bridge, "datapath_type=netdev", "fail-mode=standalone"),
        ("add-port", host.bridge, host.nics[0].name),
        *((("add-port", host.bridge, dpu.HOST_FUNCTION),) if host.dpu is not None else ()),
        ("set", "Interface", host.bridge, f"mtu_request={topology.underlay.mtu}"),
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
