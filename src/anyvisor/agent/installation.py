# SPDX-License-Identifier: Apache-2.0
"""What it takes to make the agent a service of this machine: seen, compared, and what is missing. Pure."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from anyvisor.agent.settings import DEFAULT_FILE
from anyvisor.codec.user_data import UNIT as UNIT_NAME
from anyvisor.errors import Fault, InputError, TerminalError

PACKAGES: Mapping[str, str] = {"ovs-vswitchd": "openvswitch-switch", "ovn-controller": "ovn-host"}
"""The programs that a chassis needs, and the packages of Debian and Ubuntu that have them."""
CONFIG = str(DEFAULT_FILE)
UNIT = f"/etc/systemd/system/{UNIT_NAME}"
HOTPLUG = "/etc/xen/scripts/vif-anyvisor"
UNIT_TEXT = """\
[Unit]
Description=anyvisor's agent: plugs vNICs into the switch of this machine
Wants=network-online.target
After=network-online.target openvswitch-switch.service ovn-controller.service xen.service libvirtd.service
{order}StartLimitIntervalSec=0

[Service]
{prepare}ExecStart={program} agent
Restart=always
RestartSec=10
# Packets need no agent: what it may have started goes on without it.
KillMode=process

[Install]
WantedBy=multi-user.target
"""
"""Unlike an appliance's it does not want Open vSwitch: a host may have a Linux bridge still."""
DEVD_NAME = "anyvisor-devd.service"
DEVD = f"/etc/systemd/system/{DEVD_NAME}"
DEVD_TEXT = """\
[Unit]
Description=Xen's toolstack in a driver domain: runs the hotplug script of each vif that comes
Before=anyvisor-agent.service

[Service]
ExecStartPre=-/sbin/modprobe -a xen-netback xen-gntdev xen-evtchn
ExecStart={xl} devd -F
Restart=always
RestartSec=5

[Install]
WantedBy=multi-user.target
"""
"""Debian has no service for it. Source: Xen, xl(1), devd."""
XL = "xl"
XAPI_ORDER = """\
After=openvswitch.service xcp-networkd.service
Before=xapi-domains.service
"""
XAPI_PREPARE = """\
# Its database is empty after a boot, and guests that XAPI starts by itself are plugged into this bridge.
ExecStartPre=-/usr/bin/ovs-vsctl --timeout=30 --may-exist add-br br-int -- set Bridge br-int fail_mode=secure
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """The machine as it is. `files` are those of our files that are there."""

    programs: frozenset[str] = frozenset()
    xl: str = ""
    """Where Xen's toolstack is, empty where it is not."""
    files: Mapping[str, str] = field(default_factory=dict)
    apt: bool = True
    systemd: bool = True
    dom0: bool = False
    xapi: bool = False
    """XAPI manages this dom0: it plugs vNICs by scripts of its own."""
    libvirt: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the operator says. `program` is how this program is called; empty words where nothing was said."""

    program: str
    host: str = ""
    database: str = ""
    hotplug: str = field(default="", repr=False)
    """The text of Xen's hotplug script."""
    driver_domain: bool = False
    """This machine is a network driver domain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteFile:
    """Put a file there, whole; `mode` as chmod(1) writes it."""

    path: str
    text: str = field(repr=False)
    mode: int = 0o644


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Run a command that must succeed."""

    argv: tuple[str, ...]


Step = WriteFile | Run


def planned(ground: Ground, wish: Wish) -> tuple[Step, ...]:
    """What is to be done, in order; nothing where all is as it should be. Settings that are there are left alone.

    Raises:
        InputError: there are no settings yet, and the database was not named; or there are, and they say otherwise.
        TerminalError: programs are missing, and this machine has no apt to get them by; or it is to be a driver domain
            and is dom0, or lacks Xen's toolstack.
    """
    if wish.driver_domain and ground.dom0:
        raise TerminalError("this is dom0, no driver domain", hint="leave --driver-domain out")
    if wish.driver_domain and not ground.xl:
        raise TerminalError(
            "not found: xl, which runs the hotplug scripts of a driver domain",
            hint="install xen-utils of the version that the hypervisor has (/sys/hypervisor/version)",
        )
    if CONFIG not in ground.files and not wish.database:
        raise InputError([Fault("--database", f"is needed where there is no {CONFIG} yet")])
    if CONFIG in ground.files and (faults := tuple(_contradictions(ground.files[CONFIG], wish))):
        raise InputError(faults)
    return tuple(_planned(ground, wish))


def _contradictions(settings: str, wish: Wish) -> Iterator[Fault]:
    """Settings are the operator's: what was said otherwise now is neither written nor passed over in silence."""
    try:
        there = tomllib.loads(settings)
    except tomllib.TOMLDecodeError as error:
        yield Fault(CONFIG, f"is no TOML: {error}")
        return
    said = {"host": wish.host, "database": wish.database, "driver_domain": wish.driver_domain}
    for key, value in said.items():
        if value and there.get(key) != value:
            flag = f"--{key.replace('_', '-')}"
            was = f"{key} = {json.dumps(there[key])}" if key in there else f"no {key}"
            yield Fault(flag, f"{CONFIG} is there and has {was}; change it there, or leave {flag} out")


def _planned(ground: Ground, wish: Wish) -> Iterator[Step]:
    missing = [package for program, package in PACKAGES.items() if program not in ground.programs]
    if missing and not ground.apt:
        lacking = ", ".join(program for program in PACKAGES if program not in ground.programs)
        raise TerminalError(f"not found: {lacking}", hint="install Open vSwitch and OVN's host part first")
    if missing:
        yield Run(argv=("apt-get", "install", "--yes", "--no-install-recommends", *missing))
    if CONFIG not in ground.files:
        yield WriteFile(path=CONFIG, text=_settings(ground, wish), mode=0o640)
    if _has_hotplug(ground, wish):
        yield from _written(ground, HOTPLUG, wish.hotplug, 0o755)
    if ground.systemd:
        devd = _written(ground, DEVD, DEVD_TEXT.format(xl=ground.xl), 0o644) if wish.driver_domain else ()
        units = (*devd, *_written(ground, UNIT, _unit(ground, wish), 0o644))
        yield from units
        if units:
            yield Run(argv=("systemctl", "daemon-reload"))
        changed = [unit.path.rpartition("/")[2] for unit in units if unit.path in ground.files]
        names = (*((DEVD_NAME,) if wish.driver_domain else ()), UNIT_NAME)
        yield Run(argv=("systemctl", "enable", "--now", *names))
        if changed:
            # What runs already runs as its old unit said.
            yield Run(argv=("systemctl", "restart", *changed))


def _has_hotplug(ground: Ground, wish: Wish) -> bool:
    return wish.driver_domain or (ground.dom0 and not ground.xapi)


def _written(ground: Ground, path: str, text: str, mode: int) -> Iterator[WriteFile]:
    if ground.files.get(path) != text:
        yield WriteFile(path=path, text=text, mode=mode)


def _unit(ground: Ground, wish: Wish) -> str:
    order, prepare = (XAPI_ORDER, XAPI_PREPARE) if ground.xapi else ("", "")
    return UNIT_TEXT.format(program=wish.program, order=order, prepare=prepare)


def _settings(ground: Ground, wish: Wish) -> str:
    xen = ground.dom0 or wish.driver_domain
    hypervisor = "xl" if xen else "libvirt" if ground.libvirt else "listed"
    said = {
        "host": wish.host,
        "database": wish.database,
        "hypervisor": hypervisor,
        "driver_domain": wish.driver_domain,
    }
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in said.items() if value)


def remarks(ground: Ground, wish: Wish) -> Iterator[str]:
    """What stays for the operator to do, a sentence each."""
    if wish.driver_domain:
        yield (
            "Say in dom0 `driver_domain=1` for this domain, and of each guest's vif "
            "`backend=` with this domain's name and `script=vif-anyvisor`."
        )
        yield "If its own card is a vif too, give this domain's kernel the parameter `xen_netfront.trusted=0`."
        if not ground.systemd:
            yield f"Let `{ground.xl} devd` be started at boot."
    elif ground.dom0 and not ground.xapi:
        yield "Name vif-anyvisor as the script of guests' vifs (vif.default.script in /etc/xen/xl.conf)."
    if not ground.systemd:
        yield "This machine has no systemd: let `anyvisor agent` be started in its own way."


def describe(step: Step) -> str:
    """One line."""
    if isinstance(step, WriteFile):
        return f"write {step.path} (mode {step.mode:o})"
    return f"run {' '.join(step.argv)}"
