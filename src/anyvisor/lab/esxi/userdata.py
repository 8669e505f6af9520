# SPDX-License-Identifier: Apache-2.0
"""The part of cloud-init's user-data that an appliance of the lab obeys: files, and addresses. Pure.

Commands are kept, not run: the lab starts the appliance's programs itself.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from anyvisor.errors import TerminalError

DATA, METADATA = "userdata", "metadata"
NETPLAN = "/etc/netplan/"
SYSCTL = "/etc/sysctl.d/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A file to be written."""

    text: str = field(repr=False)
    mode: int = 0o644


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the user-data ask for. `addresses` by card, with prefix lengths; `gateways` by card."""

    files: Mapping[str, Content] = field(default_factory=dict)
    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    gateways: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    """What cards with these MACs are called."""
    hardware: Mapping[str, str] = field(default_factory=dict)
    """The MACs that bridges of Open vSwitch are to have."""
    bridged: Mapping[str, str] = field(default_factory=dict)
    """The first card of each bridge."""
    commands: tuple[str, ...] = ()

    @property
    def sysctl(self) -> Mapping[str, str]:
        """Settings of its kernel, keys as ``net/ipv4/ip_forward``, in the order of the files' names (sysctl.d(5))."""
        found: dict[str, str] = {}
        for path in sorted(path for path in self.files if path.startswith(SYSCTL)):
            for line in self.files[path].text.splitlines():
                name, is_one, value = line.partition("=")
                if is_one and not line.lstrip().startswith(("#", ";")):
                    found[name.strip().replace(".", "/")] = value.strip()
        return found

    @property
    def agent(self) -> tuple[str, Mapping[str, Any]] | None:
        """The file that holds the agent's settings, and what it says."""
        for path, content in self.files.items():
            if path.endswith(".toml"):
                try:
                    said = tomllib.loads(content.text)
                except tomllib.TOMLDecodeError:
                    continue
                if "host" in said and "database" in said:
                    return path, said
        return None


def has(guestinfo: Mapping[str, str]) -> bool:
    """Whether a VM was given user-data."""
    return bool(guestinfo.get(DATA))


def read(guestinfo: Mapping[str, str]) -> Wish:
    """What a VM was given through guestinfo, as cloud-init's VMware data source reads it.

    Raises:
        TerminalError: it is not what it says it is.
    """
    data = _document(guestinfo, DATA)
    metadata = _document(guestinfo, METADATA)
    files = dict(_files(data.get("write_files") or ()))
    networks = [data.get("network"), _network(metadata)]
    networks += [_yaml(content.text) for path, content in files.items() if path.startswith(NETPLAN)]
    addresses: dict[str, tuple[str, ...]] = {}
    gateways: dict[str, str] = {}
    names: dict[str, str] = {}
    hardware: dict[str, str] = {}
    bridged: dict[str, str] = {}
    for network in networks:
        for card, said in _ethernets(network):
            addresses[card] = tuple(str(address) for address in said.get("addresses") or ())
            gateways.update(_gateway(card, said))
            if inside := said.get("interfaces"):
                bridged[card] = str(inside[0])
            if "set-name" in said and (mac := (said.get("match") or {}).get("macaddress")):
                names[str(mac).lower()] = card
            if hwaddr := ((said.get("openvswitch") or {}).get("other-config") or {}).get("hwaddr"):
                hardware[card] = str(hwaddr)
    return Wish(
        files=files,
        addresses=addresses,
        gateways=gateways,
        names=names,
        hardware=hardware,
        bridged=bridged,
        commands=tuple(
            shlex.join(map(str, line)) if isinstance(line, list) else str(line)
            for line in data.get("runcmd") or ()
        ),
    )


def _document(guestinfo: Mapping[str, str], name: str) -> dict[str, Any]:
    text = guestinfo.get(name, "")
    if not text:
        return {}
    found = _yaml(_decoded(text, guestinfo.get(f"{name}.encoding", "")))
    if not isinstance(found, dict):
        raise TerminalError(f"guestinfo.{name} is no mapping")
    return found


def _decoded(text: str, encoding: str) -> str:
    """As the encoding says; where it says nothing, as it stands."""
    try:
        match encoding.lower():
            case "base64" | "b64":
                return base64.b64decode(text).decode()
            case "gzip+base64" | "gz+b64":
                return gzip.decompress(base64.b64decode(text)).decode()
            case _:
                return text
    except (binascii.Error, OSError, UnicodeDecodeError) as error:
        raise TerminalError(f"guestinfo: not {encoding}: {error}") from error


def _yaml(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise TerminalError(f"guestinfo: not YAML: {' '.join(str(error).split())}") from error


def _files(listed: Any) -> Iterator[tuple[str, Content]]:
    for item in listed:
        mode = int(str(item.get("permissions", "0644")), 8)
        text = _decoded(str(item.get("content", "")), str(item.get("encoding", "text/plain")))
        yield str(item["path"]), Content(text=text, mode=mode)


def _network(metadata: Mapping[str, Any]) -> Any:
    """cloud-init's VMware data source takes it plain or encoded inside of the metadata."""
    said = metadata.get("network")
    if isinstance(said, str):
        return _yaml(_decoded(said, str(metadata.get("network.encoding", ""))))
    return said


def _ethernets(network: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Version 2, alone or below the key `network`."""
    if not isinstance(network, dict):
        return
    inner = network.get("network", network)
    for kind in ("ethernets", "bridges"):
        for card, said in (inner.get(kind) or {}).items() if isinstance(inner, dict) else ():
            if isinstance(said, dict):
                yield str(said.get("set-name", card)), said


def _gateway(card: str, said: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if "gateway4" in said:
        yield card, str(said["gateway4"])
    for route in said.get("routes") or ():
        if route.get("to") in {"default", "0.0.0.0/0"}:
            yield card, str(route["via"])
