# SPDX-License-Identifier: Apache-2.0
"""From drafts without a fault to the model. Nothing is checked here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anyvisor.codec.reading import Draft, Listed
from anyvisor.model.host import Host, NativeSwitch, Nic
from anyvisor.model.kinds import Protocol
from anyvisor.model.names import GroupName
from anyvisor.model.network import ExternalGateway, Network, Router, Subnet
from anyvisor.model.policy import AppliancePolicy, FailoverPolicy, Floor, Policy, Preference
from anyvisor.model.port import Port
from anyvisor.model.security import PortRange, Rule, SecurityGroup
from anyvisor.model.site import Controller, Manager, Site


def site(draft: Draft) -> Site:
    """The whole site."""
    controller = draft.get("controller")
    policy = draft.get("policy")
    return Site(
        controller=Controller(**controller.values) if controller else None,
        managers=_by_name(Manager(**item.values) for item in _items(draft, "managers")),
        hosts=_by_name(_host(item) for item in _items(draft, "hosts")),
        policy=_policy(policy) if policy else Policy(),
        networks=_by_name(_network(item) for item in _items(draft, "networks")),
        routers=_by_name(_router(item) for item in _items(draft, "routers")),
        security_groups=_by_name(_group(item) for item in _items(draft, "security_groups")),
        ports=_by_name(_port(item) for item in _items(draft, "ports")),
    )


def _by_name(objects: Any) -> dict[Any, Any]:
    return {item.name: item for item in objects}


def _items(draft: Draft, key: str) -> tuple[Any, ...]:
    listed: Listed[Any] | None = draft.get(key)
    return listed.values if listed else ()


def _table(draft: Draft, key: str) -> dict[str, Any]:
    return dict(_items(draft, key))


def _without(draft: Draft, *keys: str) -> Mapping[str, Any]:
    return {key: value for key, value in draft.values.items() if key not in keys}


def _texts(draft: Draft, key: str) -> tuple[Any, ...]:
    return tuple(str(item) for item in _items(draft, key))


def _optional_text(draft: Draft, key: str) -> str | None:
    value = draft.get(key)
    return None if value is None else str(value)


def _host(draft: Draft) -> Host:
    return Host(
        **_without(draft, "switches", "nics", "facts", "tunnel_ip", "appliance_ips"),
        switches=tuple(
            NativeSwitch(**_without(item, "uplinks"), uplinks=_texts(item, "uplinks"))
            for item in _items(draft, "switches")
        ),
        nics=tuple(Nic(**item.values) for item in _items(draft, "nics")),
        facts=_table(draft, "facts"),
        tunnel_ip=_optional_text(draft, "tunnel_ip"),
        appliance_ips=_texts(draft, "appliance_ips"),
    )


def _policy(draft: Draft) -> Policy:
    default = _preference(draft.get("default"), Preference())
    return Policy(
        default=default,
        clusters={name: _preference(item, default) for name, item in _items(draft, "clusters")},
        vlans=_table(draft, "vlans"),
        appliance=_appliance(draft.get("appliance")),
    )


def _appliance(draft: Draft | None) -> AppliancePolicy | None:
    if draft is None:
        return None
    failover = draft.get("failover")
    return AppliancePolicy(
        **_without(draft, "gateway", "failover"),
        gateway=_optional_text(draft, "gateway"),
        failover=FailoverPolicy(**failover.values) if failover else FailoverPolicy(),
    )


def _preference(draft: Draft | None, default: Preference) -> Preference:
    """What is not said is as in `default`."""
    if draft is None:
        return default
    floor = draft.get("floor")
    said = floor.values if floor else {}
    return Preference(
        prefer=draft.get("prefer", default.prefer),
        floor=Floor(
            controlled=said.get("controlled", default.floor.controlled),
            observed=said.get("observed", default.floor.observed),
        ),
    )


def _network(draft: Draft) -> Network:
    subnets = tuple(
        Subnet(
            cidr=str(item.get("cidr")),
            gateway=_optional_text(item, "gateway"),
            dhcp=item.get("dhcp", False),
            dns=_texts(item, "dns"),
        )
        for item in _items(draft, "subnets")
    )
    return Network(**_without(draft, "subnets"), subnets=subnets)


def _router(draft: Draft) -> Router:
    way_out = draft.get("external")
    external = None
    if way_out is not None:
        external = ExternalGateway(**_without(way_out, "ip"), ip=_optional_text(way_out, "ip"))
    return Router(name=draft.get("name"), networks=_items(draft, "networks"), external=external)


def _group(draft: Draft) -> SecurityGroup:
    return SecurityGroup(name=draft.get("name"), rules=tuple(_rule(item) for item in _items(draft, "rules")))


def _rule(draft: Draft) -> Rule:
    kind, remote = draft.get("from") or draft.get("to") or ("any", None)
    return Rule(
        direction=draft.get("direction"),
        protocol=draft.get("protocol", Protocol.ANY),
        ports=tuple(PortRange(first=first, last=last) for first, last in draft.get("ports", ())),
        cidr=remote if kind == "cidr" else None,
        group=GroupName(remote) if kind == "group" and remote else None,
    )


def _port(draft: Draft) -> Port:
    return Port(
        **_without(draft, "ips", "security_groups", "floating_ip"),
        ips=_texts(draft, "ips"),
        security_groups=_items(draft, "security_groups"),
        floating_ip=_optional_text(draft, "floating_ip"),
    )
