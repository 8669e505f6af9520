# SPDX-License-Identifier: Apache-2.0
"""The agent's settings: a TOML file, over it the environment, over that the command line."""

from __future__ import annotations

import os
import shlex
import socket
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from anyvisor.errors import Fault, InputError
from anyvisor.model.names import HostName
from anyvisor.model.tls import KEYS, TlsFiles
from anyvisor.settings import half_given, tls_files

DEFAULT_FILE = Path("/etc/anyvisor/anyvisor.toml")
PREFIX = "ANYVISOR_"
XENSTORED, XENBUS = "/run/xenstored/socket", "/dev/xen/xenbus"
MOST_APPLIANCES = 8
_FOREIGN = frozenset({"listen"})
"""Keys of `anyvisor.settings`, which shares the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """What the agent of one host must know. Remotes in OVSDB notation: ``ssl:HOST:PORT``, ``tcp:…``, ``unix:PATH``."""

    database: str
    telemetry: str = ""
    """Where counters go; empty: the server of `database`."""
    host: HostName
    ovs: str = "unix:/var/run/openvswitch/db.sock"
    hypervisor: str = "listed"
    """``listed`` (vNICs are found by MAC), ``libvirt``, ``xl`` (in Xen's dom0) or ``smartnic`` (on a card that switches
    for its host, and on a host that drives such a card itself)."""
    libvirt_uri: str = "qemu:///system"
    xenstore: str = ""
    """The way to xenstored, for ``xl``. Empty: its socket in dom0, the kernel's device in a driver domain."""
    driver_domain: bool = False
    """Set where this machine is a Xen domain that serves the vifs of `host`: its network driver domain. It has the
    cards that ``appliance_…`` name."""
    devlink: tuple[str, ...] = ("devlink",)
    """iproute2's program that shows cards and their functions, for ``smartnic``."""
    interval_seconds: float = 5.0
    """How often counters are read, and everything is looked at whatever events said."""
    start_openvswitch: tuple[str, ...] = ("systemctl", "start", "openvswitch-switch")
    stop_openvswitch: tuple[str, ...] = ()
    """Run when a conversion that started Open vSwitch is undone; empty: it stays up, unused."""
    start_ovn_controller: tuple[str, ...] = ("systemctl", "start", "ovn-host")
    stop_ovn_controller: tuple[str, ...] = ()
    ovn_bridge_datapath: str = "system"
    """``system`` (the kernel's) or ``netdev`` (in user space)."""
    appliance_trunk: str = ""
    """Set where this machine is the appliance of `host`: the card that carries a VLAN per vNIC."""
    appliance_number: int = 1
    """Which appliance of `host` this is; the first one speaks for the host."""
    beat_seconds: float = 0.4
    """How often an appliance, or a card that switches, gives a sign of life."""
    appliance_uplink: str = "eth0"
    appliance_bridge: str = "br-ex"
    """The Open vSwitch bridge that holds `appliance_uplink` and the tunnel address."""
    appliance_physical: str = ""
    """The physical network that the uplink is cabled to, as networks name it; empty: it carries tunnels alone."""
    appliance_tunnel_ip: str = ""
    """Empty: the address from which the controller is reached."""
    private_key: str = ""
    certificate: str = ""
    ca_certificate: str = ""
    """PEM files for ``ssl:`` remotes, of the agent and (in Open vSwitch's own settings) of ovn-controller."""
    state_dir: Path = Path("/var/lib/anyvisor")
    probe_seconds: float = 300.0
    """How often the underlay is probed whether it carries what tunnels need, beside every change of peers."""
    patience_seconds: float = 20.0
    """How long a conversion waits at each step for the host to be whole again before it is undone."""

    @property
    def is_appliance(self) -> bool:
        """This machine is not its host, but a VM on it that switches for the others."""
        return bool(self.appliance_trunk) or self.driver_domain

    @property
    def way_to_xenstored(self) -> str:
        """The path of the socket, or of the device."""
        return self.xenstore or (XENBUS if self.driver_domain else XENSTORED)

    @property
    def tls(self) -> TlsFiles | None:
        """The three TLS files; None where none is set."""
        return tls_files({key: getattr(self, key) for key in KEYS})


def load(
    path: Path | None, flags: Mapping[str, str | None], environment: Mapping[str, str] | None = None
) -> AgentSettings:
    """Read settings. `path` None means `DEFAULT_FILE`, which may be missing. `flags` are by key, None where not given.

    Raises:
        InputError: with every mistake there is.
    """
    environment = os.environ if environment is None else environment
    faults: list[Fault] = []
    given: dict[str, tuple[str, Any]] = {}
    for key, value in _from_file(path, faults).items():
        if key in _READERS:
            given[key] = (f"{path or DEFAULT_FILE}: {key}", value)
        elif key not in _FOREIGN:
            known = ", ".join(sorted(_READERS))
            faults.append(Fault(f"{path or DEFAULT_FILE}: {key}", f"is no setting; there are {known}"))
    given |= {
        key: (name, environment[name]) for key in _READERS if (name := PREFIX + key.upper()) in environment
    }
    given |= {key: (f"--{key.replace('_', '-')}", value) for key, value in flags.items() if value is not None}
    values: dict[str, Any] = {"host": HostName(socket.gethostname())}
    for key, (place, value) in given.items():
        try:
            values[key] = _READERS[key](value)
        except ValueError as error:
            faults.append(Fault(place, str(error)))
    if "database" not in given:
        faults.append(
            Fault(
                "database", "is missing: the OVSDB remote of the Anyvisor database, e.g. ssl:db.example:6640"
            )
        )
    faults += half_given(values)
    if values.get("driver_domain"):
        faults += _unfit(values)
    if faults:
        raise InputError(sorted(faults))
    return AgentSettings(**values)


def _unfit(values: Mapping[str, Any]) -> list[Fault]:
    """What a driver domain cannot be besides."""
    faults = []
    if values.get("appliance_trunk"):
        faults.append(
            Fault("appliance_trunk", "is for an appliance before a switch; a driver domain has none")
        )
    if values.get("hypervisor") != "xl":
        faults.append(Fault("hypervisor", 'must be "xl" in a driver domain'))
    return faults


def _from_file(path: Path | None, faults: list[Fault]) -> dict[str, Any]:
    chosen = path or DEFAULT_FILE
    try:
        return tomllib.loads(chosen.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if path is not None:
            faults.append(Fault(str(path), "there is no such file"))
    except OSError as error:
        faults.append(Fault(str(chosen), f"cannot be read: {error.strerror}"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        faults.append(Fault(str(chosen), f"is not TOML: {error}"))
    return {}


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"must be a text that is not empty, not {value!r}")
    return value


def _remote(value: object) -> str:
    text = _text(value)
    for part in text.split(","):
        method, _, rest = part.strip().partition(":")
        if method not in {"tcp", "ssl", "unix"} or not rest:
            raise ValueError(
                f"{part.strip()!r} is no OVSDB remote: ssl:HOST:PORT, tcp:HOST:PORT or unix:PATH"
            )
    return text


def _command(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(shlex.split(value))
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return tuple(value)
    raise ValueError("must be a command: a list of words")


def _seconds(value: object) -> float:
    try:
        seconds = (
            float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else 0.0
        )
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 3600:
        raise ValueError(f"must be a number of seconds from 0.1 to 3600, not {value!r}")
    return seconds


def _truth(value: object) -> bool:
    found = {"true": True, "false": False}.get(str(value).lower())
    if found is None:
        raise ValueError(f"must be true or false, not {value!r}")
    return found


def _number(value: object) -> int:
    text = str(value)
    if isinstance(value, bool) or not text.isdecimal() or not 1 <= int(text) <= MOST_APPLIANCES:
        raise ValueError(f"must be a whole number from 1 to {MOST_APPLIANCES}, not {value!r}")
    return int(text)


def _one_of(*words: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if value not in words:
            raise ValueError(f"must be {' or '.join(words)}, not {value!r}")
        return str(value)

    return read


_READERS: Mapping[str, Callable[[object], Any]] = {
    "database": _remote,
    "telemetry": _remote,
    "host": lambda value: HostName(_text(value)),
    "ovs": _remote,
    "hypervisor": _one_of("listed", "libvirt", "xl", "smartnic"),
    "libvirt_uri": _text,
    "xenstore": _text,
    "driver_domain": _truth,
    "devlink": _command,
    "interval_seconds": _seconds,
    "start_openvswitch": _command,
    "stop_openvswitch": _command,
    "start_ovn_controller": _command,
    "stop_ovn_controller": _command,
    "ovn_bridge_datapath": _one_of("system", "netdev"),
    "appliance_trunk": _text,
    "appliance_number": _number,
    "beat_seconds": _seconds,
    "appliance_uplink": _text,
    "appliance_bridge": _text,
    "appliance_physical": _text,
    "appliance_tunnel_ip": _text,
    "private_key": _text,
    "certificate": _text,
    "ca_certificate": _text,
    "state_dir": lambda value: Path(_text(value)),
    "probe_seconds": _seconds,
    "patience_seconds": _seconds,
}
assert set(_READERS) == {field.name for field in fields(AgentSettings)}
