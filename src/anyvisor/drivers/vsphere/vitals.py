# SPDX-License-Identifier: Apache-2.0
"""How VMs and hosts stand, as the watch heard last. The watch writes, from one thread; anybody reads.

Kept apart from the picture: whoever asks whether an appliance lives must not wait until a long task has ended.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from anyvisor.drivers.vsphere import store
from anyvisor.drivers.vsphere.hosts import key_of
from anyvisor.drivers.vsphere.store import Item, RawStore
from anyvisor.model.estate import Health

_POWER, _LINK, _PLACE = "runtime.powerState", "runtime.connectionState", "runtime.host"


class Vitals:
    """Nothing is known while the watch hears nothing: silence of vCenter says nothing about a VM."""

    def __init__(self) -> None:
        self._raw = RawStore()
        self._on_host: defaultdict[str, set[str]] = defaultdict(set)
        self._places: dict[str, str] = {}
        self._shown: dict[str, Health] = {}
        """Changed in place by the watch alone; whoever reads asks for one at a time."""

    def take(self, updates: Iterable[Any], *, anew: bool) -> None:
        """What the watch heard."""
        if anew:
            self._raw, self._on_host, self._places, self._shown = RawStore(), defaultdict(set), {}, {}
        touched = self._raw.update(updates)
        vms = {item.key for item in touched if item.kind == store.VM}
        for vm in vms:
            self._place(vm)
        for item in touched:
            if item.kind == store.HOST:
                vms |= self._on_host[item.key]
        for vm in vms:
            health = self._health(Item(store.VM, vm))
            if health is None:
                self._shown.pop(vm, None)
            else:
                self._shown[vm] = health

    def _place(self, vm: str) -> None:
        values = self._raw.values(Item(store.VM, vm))
        self._on_host[self._places.pop(vm, "")].discard(vm)
        if values is not None:
            place = self._places[vm] = str(key_of(values.get(_PLACE)))
            self._on_host[place].add(vm)

    def deaf(self) -> None:
        """The watch hears nothing any more."""
        self._shown = {}

    def of(self, vm: str) -> Health | None:
        """How the VM of that key stands; None if that is not known now."""
        return self._shown.get(vm)

    def _health(self, item: Item) -> Health | None:
        values = self._raw.values(item)
        if values is None or _POWER not in values:
            return None
        host = self._raw.values(Item(store.HOST, str(key_of(values.get(_PLACE)))))
        if _connected(values) and (host is None or _connected(host)):
            return Health.RUNNING if str(values[_POWER]) == "poweredOn" else Health.OFF
        return Health.LOST


def _connected(values: Mapping[str, Any]) -> bool:
    return str(values.get(_LINK, "connected")) == "connected"
