# SPDX-License-Identifier: Apache-2.0
"""Hosts of a pool, from their records. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping

from anyvisor.drivers.xapi.pool import Pool, Record, leads_out
from anyvisor.model.host import Fact, Host, NativeSwitch, Nic
from anyvisor.model.kinds import Hypervisor, SwitchKind
from anyvisor.model.names import HostName, SwitchName
from anyvisor.planner.facts.traits import VIF_LOCKING

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_BRIDGE = "bridge"
_LOCKING = "restrict_vif_locking"


def host_names(pool: Pool) -> dict[str, HostName]:
    """The name of each host, by reference: its label, if that is a name and no other host's; else its own host
    name under the same conditions; else its UUID.
    """
    rows = pool.rows("host")
    labels = Counter(str(row["name_label"]) for row in rows.values())
    hostnames = Counter(str(row["hostname"]) for row in rows.values())
    names: dict[str, HostName] = {}
    for ref, row in rows.items():
        label = str(row["name_label"])
        usable = _NAME.fullmatch(label) and labels[label] == 1
        other = str(row["hostname"])
        unique = hostnames[other] == 1 and other not in labels
        fallback = other if _NAME.fullmatch(other) and unique else str(row["uuid"])
        names[ref] = HostName(label if usable else fallback)
    return names


def switch_kind(host: Record) -> SwitchKind:
    """What its VIFs are plugged into, by XAPI's network backend."""
    return SwitchKind.LINUX_BRIDGE if _backend(host) == _BRIDGE else SwitchKind.OPENVSWITCH


def host_of(pool: Pool, ref: str, name: HostName, cluster: str) -> Host:
    """One host. `cluster` is the pool's name: its VMs move within it."""
    row = pool.rows("host")[ref]
    pifs = [pif for pif in pool.rows("PIF").values() if pif["host"] == ref]
    return Host(
        name=name,
        hypervisor=Hypervisor.XEN,
        version=str(row["software_version"].get("product_version", "")),
        cluster=cluster,
        switches=tuple(sorted(_switches(pool, row, pifs), key=lambda switch: switch.name)),
        nics=tuple(sorted(_nics(pool, pifs), key=lambda nic: nic.name)),
        facts=_facts(pool, row),
    )


def _facts(pool: Pool, row: Record) -> Mapping[str, Fact]:
    other = pool.sdn_controller
    return {
        "toolstack": "xapi",
        "network_backend": _backend(row),
        "connection": "connected" if pool.live(row) else "notResponding",
        "maintenance": not row["enabled"],
        VIF_LOCKING: pool.restrictions.get(_LOCKING) != "true" and not other,
        **({"sdn_controller": other} if other else {}),
    }


def _backend(host: Record) -> str:
    """One that is not told is XAPI's own default."""
    return str(host["software_version"].get("network_backend") or "openvswitch")


def _switches(pool: Pool, host: Record, pifs: list[Record]) -> Iterator[NativeSwitch]:
    for pif in pifs:
        network = pool.row("network", pif["network"])
        if network is not None and leads_out(pif):
            name = SwitchName(network["bridge"])
            yield NativeSwitch(name=name, kind=switch_kind(host), uplinks=tuple(_uplinks(pool, pif)))


def _uplinks(pool: Pool, pif: Record) -> Iterator[str]:
    slaves = [
        str(slave["device"])
        for ref in pif["bond_master_of"]
        if (bond := pool.row("Bond", ref)) is not None
        for each in bond["slaves"]
        if (slave := pool.row("PIF", each)) is not None
    ]
    yield from sorted(slaves) or (str(pif["device"]),)


def _nics(pool: Pool, pifs: list[Record]) -> Iterator[Nic]:
    for pif in pifs:
        if pif["physical"]:
            metrics = pool.row("PIF_metrics", pif["metrics"])
            megabits = int(metrics["speed"]) if metrics is not None else 0
            yield Nic(name=str(pif["device"]), speed_gbps=megabits / 1000 if megabits else None)
