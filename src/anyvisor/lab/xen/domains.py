# SPDX-License-Identifier: Apache-2.0
"""What the operator of an emulated Xen host does: the agent in dom0, and the domains that may switch for others."""

from __future__ import annotations

from collections.abc import Iterable

from anyvisor.codec.appliance_network import card_macs
from anyvisor.lab.xen.machine import XenMachine
from anyvisor.model.names import HostName
from anyvisor.planner.seats import FIRST

PROGRAM = ("env", "PYTHONPATH=/payload/site", "PYTHONDONTWRITEBYTECODE=1", "python3", "-m", "anyvisor")
SETTINGS = "/etc/anyvisor/anyvisor.toml"
LOG = "/var/log/anyvisor.log"
APPLIANCE, DRIVER_DOMAIN = "appliance", "network"
"""What those domains are called."""
_IN_DOM0 = """\
interval_seconds = 2
probe_seconds = 20
patience_seconds = 60
start_openvswitch = ["/usr/share/openvswitch/scripts/ovs-ctl", "--system-id={name}", "start"]
stop_openvswitch = ["/usr/share/openvswitch/scripts/ovs-ctl", "stop"]
start_ovn_controller = ["/usr/share/ovn/scripts/ovn-ctl", "start_controller"]
stop_ovn_controller = ["/usr/share/ovn/scripts/ovn-ctl", "stop_controller"]
"""
"""The emulated dom0 has no systemd, and is slow."""
_CREATE_SECONDS = 180.0


def install_agent(machine: XenMachine, database: str) -> str:
    """By the one command, whose words are returned; then what differs in this dom0 from a usual one is added."""
    said = machine.do(*PROGRAM, "agent", "--install", "--host", machine.name, "--database", database)
    settings = machine.do("cat", SETTINGS)
    machine.write(SETTINGS, settings + _IN_DOM0.format(name=machine.name))
    return said


def start_agent(machine: XenMachine) -> None:
    """Start it in dom0."""
    machine.order(*PROGRAM, "-v", "agent", "--config", SETTINGS, detached=LOG)


def create_appliance(machine: XenMachine, owner: str) -> None:
    """A domain with a card in dom0's bridge and one that is the trunk, known by its MAC."""
    macs = card_macs(owner, HostName(machine.name), FIRST)
    cards = [
        f"mac={macs['tunnel']},bridge=xenbr0,script=vif-bridge",
        f"mac={macs['trunk']},script=vif-anyvisor,mtu={machine.mtu}",
    ]
    _create(machine, APPLIANCE, "anyvisor.appliance", cards)


def create_driver_domain(machine: XenMachine) -> None:
    """A domain with one card in dom0's bridge, which may serve others."""
    words = "anyvisor.appliance anyvisor.driver-domain xen_netfront.trusted=0"
    cards = ["mac=00:16:3e:00:00:45,bridge=xenbr0,script=vif-bridge"]
    _create(machine, DRIVER_DOMAIN, words, cards, ["driver_domain=1", "cpu_weight=1024"])


def destroy(machine: XenMachine, names: Iterable[str]) -> None:
    """End domains."""
    for name in names:
        machine.do("xl", "destroy", name)


def _create(
    machine: XenMachine, name: str, words: str, cards: Iterable[str], more: Iterable[str] = ()
) -> None:
    """A domain that boots from a copy of dom0's disk."""
    lines = [
        f'name="{name}"',
        'type="pv"',
        'kernel="/payload/guest/kernel"',
        'ramdisk="/payload/guest/ramdisk-system"',
        f'extra="root=/dev/xvda rw init=/init-lab {words} console=hvc0 net.ifnames=0 panic=-1 quiet"',
        "memory=512",
        "vcpus=1",
        "disk=['phy:/dev/sdc,xvda,w', 'phy:/dev/sdb,xvdb,r']",
        f"vif=[{', '.join(repr(card) for card in cards)}]",
        *more,
    ]
    machine.write(f"/etc/xen/{name}.cfg", "\n".join(lines) + "\n")
    machine.do("rm", "-f", f"/var/log/xen/console/guest-{name}.log")
    machine.do("xl", "create", f"/etc/xen/{name}.cfg", seconds=_CREATE_SECONDS)
