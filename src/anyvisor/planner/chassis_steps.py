# SPDX-License-Identifier: Apache-2.0
"""The steps that make a host's Open vSwitch a chassis, and what each is called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from anyvisor.model.names import Mac
from anyvisor.model.tls import TlsFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class SetKeys:
    """Write top-level external_ids; None removes the key."""

    values: Mapping[str, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTls:
    """Name the files for ``ssl:`` remotes, where nobody else has."""

    files: TlsFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class SetOffload:
    """Let Open vSwitch give its flows to the card; in force from its next start on (ovs-vswitchd.conf.db(5))."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeBridge:
    """Make a bridge of ours."""

    name: str
    datapath: str
    fail_mode: str
    mac: Mac | None = None
    mtu: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SecureBridge:
    """Make a bridge drop what no flow matches while its controller is away."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AddUplink:
    """Put a network card into a bridge."""

    bridge: str
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DropUplink:
    """Take a network card out of a bridge."""

    bridge: str
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DropBridge:
    """Remove a bridge if it is ours."""

    name: str


ChassisStep = SetKeys | SetTls | SetOffload | MakeBridge | SecureBridge | AddUplink | DropUplink | DropBridge


def describe(step: ChassisStep) -> str:
    """One line for a plan or a log."""
    match step:
        case SetKeys(values=values):
            return "set " + ", ".join(
                f"{k}={v}" if v is not None else f"no {k}" for k, v in sorted(values.items())
            )
        case SetTls(files=files):
            return f"use {files.private_key} and its certificate for ssl: remotes"
        case SetOffload():
            return "set hw-offload: in force once ovs-vswitchd is started anew"
        case MakeBridge(name=name):
            return f"make bridge {name}"
        case SecureBridge(name=name):
            return f"make bridge {name} fail secure"
        case AddUplink(bridge=bridge, device=device):
            return f"put {device} into {bridge}"
        case DropUplink(bridge=bridge, device=device):
            return f"take {device} out of {bridge}"
        case DropBridge(name=name):
            return f"remove bridge {name}"
