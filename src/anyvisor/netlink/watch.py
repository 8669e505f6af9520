# SPDX-License-Identifier: Apache-2.0
"""Tells that some network device of this namespace changed, not which: the reader looks again."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_RTMGRP_LINK = 0x1
_RECEIVE_BYTES = 65536


@contextmanager
def watching_links(notify: Callable[[], None]) -> Iterator[None]:
    """Call `notify` from a thread of its own after each burst of changes, while the context lasts."""
    events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    ours, theirs = socket.socketpair()
    with events, ours, theirs:
        events.bind((0, _RTMGRP_LINK))
        events.setblocking(False)
        thread = threading.Thread(target=_pump, args=(events, theirs, notify), name="netlink", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ours.send(b"x")
            thread.join()


def _pump(events: socket.socket, stop: socket.socket, notify: Callable[[], None]) -> None:
    while True:
        ready, _, _ = select.select([events, stop], [], [])
        if stop in ready:
            return
        _drain(events)
        notify()


def _drain(events: socket.socket) -> None:
    while True:
        try:
            events.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            # ENOBUFS: events were lost. That is a change too.
            continue
