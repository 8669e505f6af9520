# SPDX-License-Identifier: Apache-2.0
"""A logical router as rows: its ports, their peers on the switches, routes and translations."""

from __future__ import annotations

from collections.abc import Iterator

from anyvisor.drivers.ovn.network import switch_ref
from anyvisor.drivers.ovn.row import (
    GATEWAY_CHASSIS,
    NAT,
    ROUTE,
    ROUTER,
    ROUTER_PORT,
    SWITCH_PORT,
    Child,
    Ref,
    RowSpec,
    Value,
)
from anyvisor.model.logical import LogicalRouter, RouterLeg, Translation
from anyvisor.model.names import ObjectKey


def router_ref(key: ObjectKey) -> Ref:
    """The logical router."""
    return Ref(ROUTER, key)


def leg_ref(key: ObjectKey, network: str) -> Ref:
    """A router's port in a network."""
    return Ref(ROUTER_PORT, key, network)


def leg_name(router: str, network: str) -> str:
    """The name of that port."""
    return f"{router}:{network}"


def rows(router: LogicalRouter) -> Iterator[RowSpec]:
    """Every row that the router needs."""
    here = router_ref(router.key)
    yield RowSpec(ref=here, columns={"name": router.name}, unique=router.name)
    legs = router.legs if router.gateway is None else (*router.legs, router.gateway)
    for leg in legs:
        yield from _leg(router, leg, outside=leg is router.gateway)
    for hop in router.next_hops:
        yield RowSpec(
            ref=Ref(ROUTE, router.key, hop),
            columns={"ip_prefix": "::/0" if ":" in hop else "0.0.0.0/0", "nexthop": hop},
            child_of=Child(parent=here, column="static_routes"),
        )
    for translation in router.translations:
        yield translation_row(
            router.key,
            translation,
            owner=router.key,
            gateway=router.gateway.network if router.gateway else None,
        )


def translation_row(
    router: ObjectKey, translation: Translation, *, owner: ObjectKey, gateway: str | None
) -> RowSpec:
    """One NAT entry of `router` that belongs to the object `owner` (the router, or a port with a floating IP).

    The gateway port is named because a router whose VLAN legs are distributed gateway ports too has several, and OVN
    then refuses NAT that does not say which (ovn-nb(5), NAT: gateway_port).
    """
    columns: dict[str, Value] = {
        "type": translation.kind,
        "external_ip": translation.external,
        "logical_ip": translation.logical,
    }
    if gateway is not None:
        columns["gateway_port"] = (leg_ref(router, gateway),)
    return RowSpec(
        ref=Ref(NAT, owner, f"{translation.kind} {translation.external} {translation.logical}"),
        columns=columns,
        child_of=Child(parent=router_ref(router), column="nat"),
    )


def _leg(router: LogicalRouter, leg: RouterLeg, *, outside: bool) -> Iterator[RowSpec]:
    name = leg_name(router.name, leg.network)
    port = leg_ref(router.key, leg.network)
    announcements: dict[str, str] = {}
    if leg.advertise:
        announcements = {
            "address_mode": "dhcpv6_stateful" if leg.dhcpv6 else "slaac",
            "send_periodic": "true",
            "max_interval": "30",
            "min_interval": "10",
            "mtu": str(leg.mtu),
        }
    yield RowSpec(
        ref=port,
        columns={"name": name, "mac": leg.mac, "networks": leg.addresses, "ipv6_ra_configs": announcements},
        child_of=Child(parent=router_ref(router.key), column="ports"),
        unique=name,
    )
    for rank, chassis in enumerate(leg.chassis):
        gateway = f"{name}:{chassis}"
        yield RowSpec(
            ref=Ref(GATEWAY_CHASSIS, router.key, f"{leg.network} {chassis}"),
            columns={"name": gateway, "chassis_name": chassis, "priority": 100 - rank},
            child_of=Child(parent=port, column="gateway_chassis"),
            unique=gateway,
        )
    options = {"router-port": name}
    if outside:
        # Announce the router's and the floating addresses when a chassis takes the gateway over.
        options["nat-addresses"] = "router"
    peer = f"{leg.network}:{router.name}"
    yield RowSpec(
        ref=Ref(SWITCH_PORT, router.key, leg.network),
        columns={"name": peer, "type": "router", "addresses": ("router",), "options": options},
        child_of=Child(parent=switch_ref(ObjectKey("network", leg.network)), column="ports"),
        unique=peer,
    )
