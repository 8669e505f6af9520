# SPDX-License-Identifier: Apache-2.0
"""The model as a site file, with nothing in it that goes without saying."""

from __future__ import annotations

from typing import Any

import yaml

from anyvisor.codec.canonical import to_plain
from anyvisor.model.kinds import Direction
from anyvisor.model.policy import Policy, Preference
from anyvisor.model.security import Rule, SecurityGroup
from anyvisor.model.site import Site

Dumper: type = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def dump_site(site: Site) -> str:
    """YAML text that `parse_site` makes the same site from. Who reported a host is not intent, so it is left out."""
    document = {
        "controller": to_plain(site.controller) if site.controller else None,
        "managers": [to_plain(manager) for manager in site.managers.values()],
        "hosts": [_without_manager(to_plain(host)) for host in site.hosts.values()],
        "policy": _policy(site.policy),
        "networks": [to_plain(network) for network in site.networks.values()],
        "routers": [to_plain(router) for router in site.routers.values()],
        "security_groups": [_group(group) for group in site.security_groups.values()],
        "ports": [to_plain(port) for port in site.ports.values()],
    }
    said = {
        key: value for key, value in document.items() if value or (key == "controller" and value is not None)
    }
    text: str = yaml.dump(
        said, Dumper=Dumper, sort_keys=False, default_flow_style=None, allow_unicode=True, width=110
    )
    return text


def _without_manager(host: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in host.items() if key != "manager"}


def _policy(policy: Policy) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    if policy.default != Preference():
        plain["default"] = to_plain(policy.default)
    if policy.clusters:
        plain["clusters"] = {name: _in_full(preference) for name, preference in policy.clusters.items()}
    if policy.vlans:
        plain["vlans"] = {physical: f"{first}-{last}" for physical, (first, last) in policy.vlans.items()}
    if policy.appliance is not None:
        plain["appliance"] = to_plain(policy.appliance)
    return plain


def _in_full(preference: Preference) -> dict[str, Any]:
    """A cluster's preference says everything: what it left out would be taken from the site's default."""
    floor = {"controlled": preference.floor.controlled, "observed": preference.floor.observed}
    return {"prefer": [scheme.value for scheme in preference.prefer], "floor": floor}


def _group(group: SecurityGroup) -> dict[str, Any]:
    plain: dict[str, Any] = {"name": group.name}
    if group.rules:
        plain["rules"] = [_rule(rule) for rule in group.rules]
    return plain


def _rule(rule: Rule) -> dict[str, Any]:
    plain = to_plain(rule)
    plain.pop("cidr", None)
    plain.pop("group", None)
    if rule.ports:
        plain["ports"] = ",".join(str(ports) for ports in rule.ports)
    if rule.cidr or rule.group:
        side = "from" if rule.direction is Direction.INGRESS else "to"
        plain[side] = rule.cidr or {"group": rule.group}
    return plain
