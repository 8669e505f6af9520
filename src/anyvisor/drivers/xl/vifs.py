# SPDX-License-Identifier: Apache-2.0
"""What xenstore says of vifs.

Source: Xen, docs/misc/xenstore-paths.pandoc: the back end of a vif is a folder of the domain that serves it, dom0 or a
network driver domain: ``/local/domain/BACKEND/backend/vif/FRONTEND/HANDLE``, with `mac`, `state`, `hotplug-status`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from anyvisor.model.names import Mac
from anyvisor.model.vnic import Vnic

DOMAINS = "/local/domain"
_NOTES = "/libxl"
OWN_ID = "domid"
"""A relative path: xenstored puts the asking domain's own folder before it."""
DOM0 = "0"
_PLUGGED = "connected"
_INCOMING, _AWAY = "--incoming", "--migratedaway"
"""What xl puts behind the name of a domain that it receives, and of one that it has sent (xl_migrate.c)."""
_CLOSED = frozenset({"5", "6"})
"""XenbusStateClosing and XenbusStateClosed: the guest, or the toolstack, is taking the vif away."""


class Reader(Protocol):
    """The part of xenstore that is needed here."""

    def read(self, path: str) -> str | None:
        """The value of a node, None if there is none."""

    def children(self, path: str) -> tuple[str, ...]:
        """The names below a node."""


def vifs(store: Reader) -> Iterator[Vnic]:
    """The vNICs of all domains. One that dom0 serves has its device from when the hotplug script is done with it: till
    then the script may rename it, and does not expect it in a bridge. What another domain serves has none here. Left
    out is what has left for another host.

    A domain may end between two looks: what is not whole any more is left out.

    Raises:
        UnreachableError: from the reader.
    """
    own = store.read(OWN_ID) or DOM0
    # Only dom0 may see who else is there: any other domain sees what it serves itself, and of nobody the name.
    for backend in sorted(store.children(DOMAINS) or (own,), key=_in_order):
        folder = f"{DOMAINS}/{backend}/backend/vif"
        for frontend in sorted(store.children(folder), key=_in_order):
            name = store.read(f"{DOMAINS}/{frontend}/name")
            if name is not None and name.endswith(_AWAY):
                continue  # it runs elsewhere; what is left of it here is being taken down
            vm = None if name is None else name.removesuffix(_INCOMING)
            for handle in sorted(store.children(f"{folder}/{frontend}"), key=_in_order):
                path = f"{folder}/{frontend}/{handle}"
                mac = store.read(f"{path}/mac")
                if not mac or store.read(f"{path}/state") in _CLOSED:
                    continue
                device = None
                if backend == own and store.read(f"{path}/hotplug-status") == _PLUGGED:
                    device = store.read(f"{path}/vifname") or f"vif{frontend}.{handle}"
                yield Vnic(mac=Mac(mac.lower()), vm=vm, device=device, arriving=name != vm)


def received(store: Reader) -> frozenset[str]:
    """The domains that are being received from another host, as they will be called. Their vifs come last, when all
    memory is there.

    Raises:
        UnreachableError: from the reader.
    """
    names = [store.read(f"{DOMAINS}/{domain}/name") for domain in store.children(DOMAINS)]
    return frozenset(
        name.removesuffix(_INCOMING) for name in names if name is not None and name.endswith(_INCOMING)
    )


def watched(own: str | None) -> tuple[str, ...]:
    """The paths whose changes tell that a vif may have come or gone.

    Of vifs that driver domains serve only those are told that come or go with their domain. A domain that is received
    is introduced last; the toolstack's notes of it are there from the first. A driver domain may watch its
    own folder alone.
    """
    served = f"{DOMAINS}/{own or DOM0}/backend/vif"
    return (served,) if own not in {None, DOM0} else (served, _NOTES, "@introduceDomain", "@releaseDomain")


def _in_order(name: str) -> tuple[int, str]:
    return (int(name), name) if name.isdecimal() else (-1, name)
