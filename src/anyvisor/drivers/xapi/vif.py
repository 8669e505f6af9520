# SPDX-License-Identifier: Apache-2.0
"""One VIF: plugged into a network of ours and given back, while its VM runs (``VIF.move``).

What is done to a VIF can be cut short after each call, and is taken up again from what its ``other_config`` says:

    1. ``anyvisor-before``    where it was, its lock, its ``nicira-iface-id``;
    2. ``anyvisor-moving``    from here on what the database says of it proves nothing: XAPI writes that first;
    3. ``nicira-iface-id``    before it is plugged, since ovs-xapi-sync reads it then and no more;
    4. ``VIF.move``;
    5. the lock;              then ``anyvisor-moving`` goes.

A lock is never in force on the integration bridge: XAPI would put flows of its own into it, which pass by OVN's. So one
is taken off before a VIF goes there, and put on only after it has left.

Source: xen-api, ocaml/xapi/xapi_vif.ml (`move`, `set_locking_mode`), ocaml/xenopsd/scripts/setup-vif-rules; Open
vSwitch 2.17, xenserver/usr_share_openvswitch_scripts_ovs-xapi-sync.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

from anyvisor.drivers.xapi import names
from anyvisor.drivers.xapi.names import Before
from anyvisor.drivers.xapi.picture import lock_of
from anyvisor.drivers.xapi.work import Work
from anyvisor.errors import ForeignObjectError
from anyvisor.model.estate import Terms

Lock = tuple[str, tuple[str, ...], tuple[str, ...]]
_DISABLED = "disabled"


class Vif:
    """One VIF as it is now, kept up to date with what is written."""

    def __init__(self, work: Work, ref: str, vm: str) -> None:
        self._work = work
        self._ref = ref
        self._vm = vm
        self._row: dict[str, Any] = dict(
            work.session.read("VIF.get_record", ref, doing=f"reading a VIF of VM {vm}")
        )
        self._other: dict[str, str] = dict(self._row["other_config"])
        self._interrupted = names.MOVING in self._other

    @property
    def network(self) -> str:
        """As the database has it."""
        return str(self._row["network"])

    def home(self) -> str | None:
        """The network that it was on before; None if that is gone, or nobody knows."""
        before = names.before_of(self._other, self._work.picture.owner)
        if before is None:
            return None
        networks = self._work.picture.pool.rows("network")
        return next((ref for ref, row in networks.items() if row["uuid"] == before.network), None)

    def settle(self, target: str, terms: Terms, *, bound: bool) -> None:
        """Plug it there; `bound`: where the SDN controller binds it."""
        before = self._remembered()
        iface = terms.iface or before.iface
        homeless = names.HOMELESS in self._other
        lock = self._unlocked() if bound else _wanted(terms, before, homeless=homeless)
        stays = self.network == target and self._other.get(names.IFACE, "") == iface
        if stays and lock_of(self._row) == lock and not homeless and not self._interrupted:
            return
        self._begin(target)
        if bound:
            self._lock(lock)
        if not stays or self._interrupted:
            self._move(target, iface)
        if not bound:
            self._lock(lock)
        self._forget(names.HOMELESS)
        self._forget(names.MOVING)

    def return_to(self, home: str) -> None:
        """Plug it back there."""
        before = self._remembered()
        self._begin(home)
        self._move(home, before.iface)
        self.release()

    def release(self) -> None:
        """It is where it was, or where somebody else has put it: nothing of ours stays with it."""
        before = names.before_of(self._other, self._work.picture.owner)
        if before is None:
            return
        lock: Lock = (before.mode, before.ipv4, before.ipv6)
        if self._other.get(names.IFACE, "") != before.iface or lock_of(self._row) != lock:
            self._begin(self.network)
        if self._interrupted:
            self._move(self.network, before.iface)
        self._set(names.IFACE, before.iface)
        self._lock(lock)
        self._forget(names.HOMELESS)
        self._forget(names.MOVING)
        self._forget(names.BEFORE)

    def disconnect(self) -> None:
        """Let nothing pass."""
        if names.HOMELESS in self._other and not self._interrupted:
            return
        self._begin(self.network)
        self._lock((_DISABLED, (), ()))
        self._set(names.HOMELESS, "true")
        self._forget(names.MOVING)

    def _remembered(self) -> Before:
        """How it was before; written down unless it is. Of one that somebody else has moved since it is that.

        Raises:
            ForeignObjectError: another installation has taken it.
        """
        before = names.before_of(self._other, self._work.picture.owner)
        ours = self.network in self._work.picture.ours
        if before is not None and (ours or names.MOVING in self._other):
            return before
        if before is not None:
            self.release()
        elif names.BEFORE in self._other:
            raise ForeignObjectError(
                self._about("another installation of anyvisor has taken"),
                hint=f"if that one is gone: xe vif-param-remove param-name=other-config param-key={names.BEFORE}",
            )
        mode, ipv4, ipv6 = lock_of(self._row)
        networks = self._work.picture.pool.rows("network")
        before = Before(
            owner=self._work.picture.owner,
            network="" if ours or self.network not in networks else str(networks[self.network]["uuid"]),
            mode=mode,
            ipv4=ipv4,
            ipv6=ipv6,
            iface=self._other.get(names.IFACE, ""),
        )
        self._set(names.BEFORE, before.text)
        return before

    def _begin(self, target: str) -> None:
        if names.MOVING not in self._other:
            self._set(names.MOVING, str(self._work.picture.pool.rows("network")[target]["uuid"]))

    def _move(self, target: str, iface: str) -> None:
        self._set(names.IFACE, iface)
        self._write("VIF.move", target, doing=self._about("moving"))
        self._row["network"] = target

    def _unlocked(self) -> Lock:
        """What is no lock stays as it is; that nothing passes is ours to end only where we have cut it off."""
        there = lock_of(self._row)
        cut = there[0] == _DISABLED and names.HOMELESS in self._other
        return ("unlocked", (), ()) if cut or there[0] == "locked" else there

    def _lock(self, wanted: Lock) -> None:
        """Each call plugs the VIF anew for a moment, so none is made that changes nothing; but after one that was cut
        short what the database says may not be in force.
        """
        mode, ipv4, ipv6 = wanted
        doing = self._about("locking")
        there = lock_of(self._row)
        anew = there[0] != mode or self._interrupted
        if mode != "locked" and anew:
            self._write("VIF.set_locking_mode", mode, doing=doing)
        if there[1] != tuple(sorted(ipv4)):
            self._write("VIF.set_ipv4_allowed", list(ipv4), doing=doing)
        if there[2] != tuple(sorted(ipv6)):
            self._write("VIF.set_ipv6_allowed", list(ipv6), doing=doing)
        if mode == "locked" and anew:
            self._write("VIF.set_locking_mode", mode, doing=doing)
        self._row.update(locking_mode=mode, ipv4_allowed=list(ipv4), ipv6_allowed=list(ipv6))

    def _set(self, key: str, value: str) -> None:
        """``""`` removes it."""
        if self._other.get(key, "") == value:
            return
        self._forget(key)
        if value:
            self._write("VIF.add_to_other_config", key, value, doing=self._about("marking"))
            self._other[key] = value

    def _forget(self, key: str) -> None:
        if key in self._other:
            self._write("VIF.remove_from_other_config", key, doing=self._about("marking"))
            del self._other[key]

    def _write(self, method: str, *params: Any, doing: str) -> None:
        self._work.session.write(method, self._ref, *params, doing=doing)

    def _about(self, doing: str) -> str:
        return f"{doing} the VIF {self._row['device']} of VM {self._vm}"


def _wanted(terms: Terms, before: Before, *, homeless: bool) -> Lock:
    """The lock on a VLAN network: the port's addresses, or what the operator had."""
    if terms.addresses is None or (before.mode == _DISABLED and not homeless):
        return (before.mode, before.ipv4, before.ipv6)
    return ("locked", *_by_family(terms.addresses))


def _by_family(addresses: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    of: dict[int, set[str]] = {4: set(), 6: set()}
    for address in addresses:
        of[ipaddress.ip_address(address).version].add(address)
    return tuple(sorted(of[4])), tuple(sorted(of[6]))
