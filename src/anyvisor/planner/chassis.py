# SPDX-License-Identifier: Apache-2.0
"""What a host's Open vSwitch must look like so that ovn-controller makes it a chassis, and the steps that lead there.

Everything foreign stays: keys that we do not write, bridge mappings that somebody else made, bridges and ports.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from anyvisor.errors import ForeignObjectError
from anyvisor.model.host import Host
from anyvisor.model.kinds import SwitchKind
from anyvisor.model.names import HostName, Mac
from anyvisor.model.tls import TlsFiles
from anyvisor.planner.chassis_steps import (
    AddUplink,
    ChassisStep,
    MakeBridge,
    SecureBridge,
    SetKeys,
    SetOffload,
    SetTls,
)
from anyvisor.planner.facts import traits

INTEGRATION_BRIDGE = "br-int"
OWNER = "anyvisor:owner"
OUR_MAPPINGS = "anyvisor:bridge-mappings"
"""Which of the pairs in ``ovn-bridge-mappings`` are ours, so that those of others survive."""
OUR_MACS = "anyvisor:chassis-mac-mappings"
_CMS_OPTIONS = "ovn-cms-options"
_SERIAL = "card-serial-number="
"""The option by which a card is told from others (ovn-controller(8))."""
OUR_SERIAL = "anyvisor:card-serial-number"
_OVS = frozenset({SwitchKind.OPENVSWITCH, SwitchKind.NIC_ESWITCH})
"""Kinds of switch that a site lists where the bridge is Open vSwitch's: on the host, or on its card."""
_NAME_MAX = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderBridge:
    """An OVS bridge that leads to physical networks. `mac` and `mtu` are set where it takes over a host's address.

    One that is `given` is made by somebody else (XAPI): it is mapped once it is there, and nothing is done to it.
    """

    name: str
    physical: tuple[str, ...]
    uplinks: tuple[str, ...] = ()
    mac: Mac | None = None
    mtu: int | None = None
    given: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CardSide:
    """What a chassis has more where a network card switches. `offload`: Open vSwitch gives its flows to the card.

    `serial` is the board's, where the chassis is the card: Nova and Neutron find it by that.
    """

    offload: bool = True
    serial: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chassis:
    """What is wanted. `owner` is the installation's identity; `datapath` is ``system`` or ``netdev``. `tls` is for
    ``ssl:`` remotes; None: not ours to say.
    """

    host: HostName
    owner: str
    remote: str
    tunnel_ip: str
    bridges: tuple[ProviderBridge, ...] = ()
    datapath: str = "system"
    encapsulation: str = "geneve"
    tls: TlsFiles | None = None
    card: CardSide | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedBridge:
    """A bridge that stands. `controllers` are OpenFlow controllers set on it from outside."""

    name: str
    ours: bool = False
    ports: frozenset[str] = frozenset()
    datapath: str = ""
    fail_mode: str = ""
    controllers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedTls:
    """The files that Open vSwitch and ovn-controller use. `ours`: this installation named them."""

    files: TlsFiles
    ours: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedChassis:
    """What is there. `settings` are the database's top-level external_ids, `offload` its ``hw-offload``."""

    settings: Mapping[str, str] = field(default_factory=dict)
    offload: bool = False
    bridges: Mapping[str, ObservedBridge] = field(default_factory=dict)
    tls: ObservedTls | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChassisPlan:
    """The steps, and what stays undone with its reason. Without problems the chassis is complete."""

    steps: tuple[ChassisStep, ...] = ()
    problems: tuple[str, ...] = ()


def provider_bridges(host: Host) -> tuple[ProviderBridge, ...]:
    """One bridge per trunk card that leads to a physical network: the OVS bridge that the site names for the card,
    else one of ours. A card with an access VLAN carries one network alone and is no way to a physical network.
    """
    found: dict[str, list[tuple[str, str]]] = {}
    for nic in host.nics:
        if nic.physical is None or nic.vlan is not None:
            continue
        named = (s.name for s in host.switches if s.kind in _OVS and nic.name in s.uplinks)
        found.setdefault(next(named, None) or bridge_name(nic.physical), []).append((nic.physical, nic.name))
    return tuple(
        ProviderBridge(
            name=name,
            physical=tuple(sorted({physical for physical, _ in pairs})),
            uplinks=tuple(sorted(nic for _, nic in pairs)),
            given=_is_given(host, name),
        )
        for name, pairs in sorted(found.items())
    )


def _is_given(host: Host, bridge: str) -> bool:
    """XAPI makes the bridges of its hosts, but none on a card."""
    kind = next((switch.kind for switch in host.switches if switch.name == bridge), None)
    return traits.in_pool(host) and kind is not SwitchKind.NIC_ESWITCH


def bridge_name(network: str, prefix: str = "br-") -> str:
    """A bridge name for a network that fits the kernel; a name that had to be cut gets a digest."""
    plain = prefix + network
    if len(plain) <= _NAME_MAX and all(c.isascii() and (c.isalnum() or c in "._-") for c in plain):
        return plain
    digest = hashlib.blake2s(network.encode(), digest_size=3).hexdigest()
    kept = "".join(c for c in network if c.isascii() and c.isalnum())
    return f"{prefix}{kept[: _NAME_MAX - len(prefix) - len(digest) - 1]}-{digest}"


def chassis_mac(owner: str, host: HostName, physical: str) -> Mac:
    """The MAC that this chassis uses for routers' frames on a physical network: its own, locally administered."""
    octets = hashlib.blake2s(f"{owner}/{host}/{physical}".encode(), digest_size=5).hexdigest()
    return Mac("0e:" + ":".join(octets[i : i + 2] for i in range(0, 10, 2)))


def chassis_plan(
    desired: Chassis, observed: ObservedChassis, *, busy: frozenset[str] = frozenset()
) -> ChassisPlan:
    """The difference. Cards in `busy` carry addresses or belong to another bridge, and are not touched.

    Raises:
        ForeignObjectError: another controller or another installation has this switch.
    """
    _refuse_foreign(desired, observed)
    problems: list[str] = []
    mapped = [bridge for bridge in desired.bridges if _usable(bridge, observed, busy, problems)]
    steps = [
        *_bridge_steps(desired, observed),
        *(step for bridge in mapped for step in _provider_steps(desired, bridge, observed)),
    ]
    values = _settings(desired, mapped, observed, problems)
    changed = {key: value for key, value in values.items() if observed.settings.get(key) != value}
    steps.extend(_tls_steps(desired, observed, problems))
    if desired.card is not None and desired.card.offload and not observed.offload:
        steps.append(SetOffload())
    # Last: ovn-controller must not see a mapping whose bridge is not there yet.
    if changed:
        steps.append(SetKeys(values=changed))
    return ChassisPlan(steps=tuple(steps), problems=tuple(problems))


def release_keys(owner: str, observed: ObservedChassis) -> SetKeys:
    """Take back everything that `chassis_plan` wrote into the settings."""
    if observed.settings.get(OWNER) != owner:
        return SetKeys(values={})
    names = (
        "system-id",
        "hostname",
        "ovn-remote",
        "ovn-encap-type",
        "ovn-encap-ip",
        "ovn-bridge-datapath-type",
        OWNER,
        OUR_MAPPINGS,
        OUR_MACS,
        OUR_SERIAL,
    )
    values: dict[str, str | None] = dict.fromkeys(names)
    for key, ours in (("ovn-bridge-mappings", OUR_MAPPINGS), ("ovn-chassis-mac-mappings", OUR_MACS)):
        left = _foreign_pairs(observed, key, ours)
        values[key] = _join(left) or None
    if OUR_SERIAL in observed.settings:
        values[_CMS_OPTIONS] = ",".join(_other_options(observed)) or None
    return SetKeys(values={k: v for k, v in values.items() if observed.settings.get(k) != v})


def _refuse_foreign(desired: Chassis, observed: ObservedChassis) -> None:
    owner = observed.settings.get(OWNER)
    if owner is not None and owner != desired.owner:
        raise ForeignObjectError(
            f"{desired.host}: Open vSwitch belongs to another anyvisor installation ({owner})",
            hint=f"remove {OWNER} from its external_ids if that installation is gone",
        )
    remote = observed.settings.get("ovn-remote")
    if owner is None and remote and remote != desired.remote:
        raise ForeignObjectError(
            f"{desired.host}: Open vSwitch is a chassis of another controller ({remote})",
            hint="remove ovn-remote from its external_ids to hand the host over",
        )
    integration = observed.bridges.get(INTEGRATION_BRIDGE)
    if integration is not None and integration.controllers:
        raise ForeignObjectError(
            f"{desired.host}: {INTEGRATION_BRIDGE} is programmed by {', '.join(integration.controllers)}",
            hint=f"ovs-vsctl del-controller {INTEGRATION_BRIDGE} hands the host over",
        )


def _usable(
    bridge: ProviderBridge, observed: ObservedChassis, busy: frozenset[str], problems: list[str]
) -> bool:
    there = observed.bridges.get(bridge.name)
    if bridge.given:
        if there is None:
            problems.append(f"there is no bridge {bridge.name}; XAPI makes it")
        return there is not None
    missing = [uplink for uplink in bridge.uplinks if there is None or uplink not in there.ports]
    for uplink in missing:
        holder = next((b.name for b in observed.bridges.values() if uplink in b.ports), None)
        if holder is not None:
            problems.append(f"{uplink} is in {holder}, not in {bridge.name}")
            return False
        if uplink in busy:
            problems.append(f"{uplink} carries the host itself; put it into an Open vSwitch bridge first")
            return False
    return True


def _bridge_steps(desired: Chassis, observed: ObservedChassis) -> Iterator[ChassisStep]:
    integration = observed.bridges.get(INTEGRATION_BRIDGE)
    if integration is None:
        yield MakeBridge(name=INTEGRATION_BRIDGE, datapath=desired.datapath, fail_mode="secure")
    elif integration.fail_mode != "secure":
        yield SecureBridge(name=INTEGRATION_BRIDGE)


def _provider_steps(
    desired: Chassis, bridge: ProviderBridge, observed: ObservedChassis
) -> Iterator[ChassisStep]:
    if bridge.given:
        return
    there = observed.bridges.get(bridge.name)
    if there is None:
        yield MakeBridge(
            name=bridge.name,
            datapath=desired.datapath,
            fail_mode="standalone",
            mac=bridge.mac,
            mtu=bridge.mtu,
        )
    for uplink in bridge.uplinks:
        if there is None or uplink not in there.ports:
            yield AddUplink(bridge=bridge.name, device=uplink)


def _tls_steps(desired: Chassis, observed: ObservedChassis, problems: list[str]) -> Iterator[ChassisStep]:
    """Before the remote that needs them. Files that somebody else named serve others too: they stay."""
    if not any(remote.startswith("ssl:") for remote in desired.remote.split(",")):
        return
    wanted, there = desired.tls, observed.tls
    if wanted is None:
        if there is None:
            problems.append(
                f"{desired.remote} needs TLS, and Open vSwitch was given no key: set private_key, certificate and "
                "ca_certificate for the agent"
            )
    elif there is None or (there.ours and there.files != wanted):
        yield SetTls(files=wanted)
    elif there.files != wanted:
        problems.append(
            f"Open vSwitch has TLS files of somebody else ({there.files.private_key}), not {wanted.private_key}; "
            "they stay until `ovs-vsctl del-ssl`"
        )


def _settings(
    desired: Chassis, mapped: Iterable[ProviderBridge], observed: ObservedChassis, problems: list[str]
) -> dict[str, str | None]:
    foreign = _foreign_pairs(observed, "ovn-bridge-mappings", OUR_MAPPINGS)
    ours: dict[str, str] = {}
    for bridge in mapped:
        for physical in bridge.physical:
            if foreign.get(physical, bridge.name) != bridge.name:
                problems.append(
                    f"physical network {physical} is mapped to {foreign[physical]}, not {bridge.name}"
                )
            elif physical not in foreign:
                ours[physical] = bridge.name
    foreign_macs = _foreign_pairs(observed, "ovn-chassis-mac-mappings", OUR_MACS)
    macs = {
        physical: chassis_mac(desired.owner, desired.host, physical)
        for bridge in mapped
        for physical in bridge.physical
        if physical not in foreign_macs
    }
    return {
        OWNER: desired.owner,
        "system-id": desired.host,
        "hostname": desired.host,
        "ovn-remote": desired.remote,
        "ovn-encap-type": desired.encapsulation,
        "ovn-encap-ip": desired.tunnel_ip,
        # ovn-controller makes br-int by itself if it starts before us, and mends the datapath of one that is there.
        "ovn-bridge-datapath-type": desired.datapath,
        "ovn-bridge-mappings": _join(foreign | ours) or None,
        "ovn-chassis-mac-mappings": _join(foreign_macs | macs) or None,
        OUR_MAPPINGS: _join(ours) or None,
        OUR_MACS: _join(macs) or None,
        **_card_settings(desired, observed),
    }


def _card_settings(desired: Chassis, observed: ObservedChassis) -> dict[str, str | None]:
    """Nothing is said of a host that is no card, unless we said so before. A card has one serial number: whoever wrote
    one, ours takes its place."""
    serial = desired.card.serial if desired.card is not None else None
    if serial is None and OUR_SERIAL not in observed.settings:
        return {}
    ours = () if serial is None else (f"{_SERIAL}{serial}",)
    return {
        _CMS_OPTIONS: ",".join((*_other_options(observed), *ours)) or None,
        OUR_SERIAL: serial,
    }


def _other_options(observed: ObservedChassis) -> tuple[str, ...]:
    options = (part.strip() for part in observed.settings.get(_CMS_OPTIONS, "").split(","))
    return tuple(option for option in options if option and not option.startswith(_SERIAL))


def _foreign_pairs(observed: ObservedChassis, key: str, ours: str) -> dict[str, str]:
    mine = _pairs(observed.settings.get(ours, ""))
    return {k: v for k, v in _pairs(observed.settings.get(key, "")).items() if mine.get(k) != v}


def _pairs(text: str) -> dict[str, str]:
    # Only the first colon separates: the values of chassis MAC mappings are full of them.
    split = (part.split(":", 1) for part in text.split(",") if ":" in part)
    return {name.strip(): value.strip() for name, value in split}


def _join(pairs: Mapping[str, str]) -> str:
    return ",".join(f"{name}:{value}" for name, value in sorted(pairs.items()))
