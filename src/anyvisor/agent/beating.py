# SPDX-License-Identifier: Apache-2.0
"""An appliance's signs of life: one of two witnesses that anyvisord asks before it calls an appliance dead."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from anyvisor.errors import AnyvisorError
from anyvisor.model.names import HostName
from anyvisor.model.state import Beat
from anyvisor.ovsdb.beats import BeatStore

log = logging.getLogger(__name__)

_AGAIN_SECONDS = 2.0


@contextmanager
def beating(
    remote: str, host: HostName, number: int, *, every_seconds: float, well: Callable[[], bool]
) -> Iterator[None]:
    """Give them from a thread of its own while the context lasts. A database that does not answer is tried again.

    `well` says whether the agent's last look went well.
    """
    stopping = threading.Event()

    def beat() -> None:
        while not stopping.is_set():
            try:
                with BeatStore(remote, host=host) as store:
                    # Goes on from where an earlier process of this appliance stood: only a count that grows is life.
                    count = max((b.count for b in store.read() if b.number == number), default=0)
                    while not stopping.is_set():
                        began = time.monotonic()
                        count += 1
                        store.write(Beat(host=host, number=number, count=count, well=well()))
                        stopping.wait(max(0.0, every_seconds - (time.monotonic() - began)))
            except AnyvisorError as error:
                log.warning("no sign of life could be given: %s", error)
                stopping.wait(_AGAIN_SECONDS)

    thread = threading.Thread(target=beat, name="beating", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
