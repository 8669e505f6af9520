# SPDX-License-Identifier: Apache-2.0
"""A thread that waits for news of the pool and says which hosts they concern."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable

from anyvisor.drivers.xapi.feed import Feed
from anyvisor.drivers.xapi.hosts import host_names
from anyvisor.drivers.xapi.pool import Pool, Record
from anyvisor.drivers.xapi.session import Session
from anyvisor.errors import AnyvisorError
from anyvisor.model.names import HostName

log = logging.getLogger(__name__)

Notify = Callable[[frozenset[HostName]], None]
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 30.0


class Watcher:
    """With a login of its own: a wait must not hold up anybody else's calls."""

    def __init__(self, session: Session, notify: Notify, *, wait_seconds: float) -> None:
        self._session = session
        self._feed = Feed(session)
        self._notify = notify
        self._wait = wait_seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"watch {session.name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End. A wait under way is not waited for: nobody is told of what it brings."""
        self._stopping.set()

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        while not self._stopping.is_set():
            places = _places(self._feed.pool)
            try:
                heard = self._feed.changes(self._wait)
            except AnyvisorError as error:
                log.warning("%s: no news: %s; again in %.1f s", self._session.name, error, pause)
                self._stopping.wait(pause)
                pause = min(_LONGEST_PAUSE, pause * 2)
                continue
            except Exception:
                # A fault of ours must not end the watch: changes would be seen only in a while.
                log.exception("%s: the watch stumbled", self._session.name)
                self._stopping.wait(_LONGEST_PAUSE)
                continue
            pause = _FIRST_PAUSE
            # Where its own login can go on once the master is gone.
            self._session.know(str(row["address"]) for row in self._feed.pool.rows("host").values())
            changed = concerned(self._feed.pool, heard.events, places)
            if changed and not self._stopping.is_set():
                self._notify(changed)
        self._session.close()


def concerned(pool: Pool, events: Iterable[Record], places: dict[str, str]) -> frozenset[HostName]:
    """The hosts of whom something changed. `places` is where VMs were before, by reference."""
    names = host_names(pool)
    found: set[HostName] = set()
    for event in events:
        kind, ref = event["class"], event["ref"]
        if kind == "vm":
            vm = pool.row("VM", ref) or {}
            here = {vm.get("resident_on"), vm.get("scheduled_to_be_resident_on"), places.get(ref)}
        elif kind == "vif" and "snapshot" in event:
            here = {(pool.row("VM", event["snapshot"]["VM"]) or {}).get("resident_on")}
        elif kind == "host":
            here = {ref}
        else:
            here = set(names)
        found |= {names[each] for each in here if each in names}
    return frozenset(found)


def _places(pool: Pool) -> dict[str, str]:
    return {ref: str(row["resident_on"]) for ref, row in pool.rows("VM").items()}
