# SPDX-License-Identifier: Apache-2.0
"""A thread that waits for signs of change and says which hosts they concern. It keeps nothing but who is where."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any

from anyvisor.drivers.vsphere import store
from anyvisor.drivers.vsphere.collector import SIGNS, Collector, Heard
from anyvisor.drivers.vsphere.hosts import key_of, plain
from anyvisor.drivers.vsphere.session import Session
from anyvisor.drivers.vsphere.vitals import Vitals
from anyvisor.errors import AnyvisorError
from anyvisor.model.names import HostName

log = logging.getLogger(__name__)

Notify = Callable[[frozenset[HostName]], None]
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 30.0


class Watcher:
    """With a login of its own: a wait must not hold up anybody else's calls."""

    def __init__(self, session: Session, notify: Notify, vitals: Vitals, *, wait_seconds: int) -> None:
        self._session = session
        self._vitals = vitals
        self._collector = Collector(session, SIGNS)
        self._notify = notify
        self._wait = wait_seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"watch {session.name}", daemon=True)
        self._hosts: dict[str, HostName] = {}
        self._places: dict[str, str] = {}
        self._vm_of_task: dict[str, str] = {}

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End. A wait under way is not waited for: nobody is told of what it brings."""
        self._stopping.set()

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        while not self._stopping.is_set():
            try:
                heard = self._collector.changes(self._wait)
            except AnyvisorError as error:
                self._vitals.deaf()
                log.warning("%s: no news: %s; again in %.1f s", self._session.name, error, pause)
                self._stopping.wait(pause)
                pause = min(_LONGEST_PAUSE, pause * 2)
                continue
            except Exception:
                # A fault of ours must not end the watch: changes would be seen only in a while.
                self._vitals.deaf()
                log.exception("%s: the watch stumbled", self._session.name)
                self._stopping.wait(_LONGEST_PAUSE)
                continue
            pause = _FIRST_PAUSE
            self._vitals.take(heard.updates, anew=heard.anew)
            changed = self.concerned(heard)
            if changed and not self._stopping.is_set():
                self._notify(changed)
        self._vitals.deaf()
        self._session.close()

    def concerned(self, heard: Heard) -> frozenset[HostName]:
        """The hosts of whom something changed."""
        if heard.anew:
            self._hosts, self._places, self._vm_of_task = {}, {}, {}
        # Hosts first: a VM that is new on a new host is named by it.
        first = sorted(
            heard.updates, key=lambda update: store.item_of(update.obj) is None or not _is_host(update)
        )
        names: set[HostName] = set()
        for update in first:
            names.update(self._of_update(update))
        return frozenset(names)

    def _of_update(self, update: Any) -> Iterable[HostName]:
        item = store.item_of(update.obj)
        changes = {change.name: change.val for change in update.changeSet or ()}
        if item is None:
            return ()
        if item.kind == store.HOST:
            if changes.get("name"):
                self._hosts[item.key] = HostName(plain(changes["name"]))
            named = self._hosts.get(item.key)
            return () if named is None else (named,)
        if item.kind == store.VM:
            return self._of_vm(item.key, update, changes)
        if item.kind == store.TASK:
            place = self._places.get(self._vm_of_task.get(item.key, ""))
            return (self._hosts[place],) if place in self._hosts else ()
        return tuple(self._hosts.values())

    def _of_vm(self, key: str, update: Any, changes: dict[str, Any]) -> Iterable[HostName]:
        places = {self._places.get(key)}
        if update.kind == "leave":
            self._places.pop(key, None)
        elif "runtime.host" in changes:
            place = key_of(changes["runtime.host"])
            self._places[key] = place or ""
            places.add(place)
        for task in changes.get("recentTask") or ():
            self._vm_of_task[str(key_of(task))] = key
        return tuple(self._hosts[place] for place in places if place in self._hosts)


def _is_host(update: Any) -> bool:
    item = store.item_of(update.obj)
    return item is not None and item.kind == store.HOST
