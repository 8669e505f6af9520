# SPDX-License-Identifier: Apache-2.0
"""Waiting for descriptors and for other threads.

`ovs.poller` uses select(2), which ends at descriptor 1023. `Idl.wait` takes any object with these methods.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
from typing import Protocol


class HasFileno(Protocol):
    """A socket, for example."""

    def fileno(self) -> int:
        """Its descriptor."""


class Waiter:
    """Collects what to wait for, then waits once. A new one for each round."""

    def __init__(self) -> None:
        self._events: dict[int, int] = {}
        self._timeout_ms: float | None = None

    def fd_wait(self, fd: int | HasFileno, events: int) -> None:
        """Wake up when `fd` is ready for one of `events`, in addition to those asked for before."""
        number = fd if isinstance(fd, int) else fd.fileno()
        self._events[number] = self._events.get(number, 0) | events

    def timer_wait(self, milliseconds: float) -> None:
        """Wake up at the latest after so long."""
        wanted = max(0.0, milliseconds)
        self._timeout_ms = wanted if self._timeout_ms is None else min(self._timeout_ms, wanted)

    def timer_wait_until(self, milliseconds: float) -> None:
        """Wake up at the latest at that time, on the clock of `ovs.timeval` (monotonic, in milliseconds)."""
        self.timer_wait(milliseconds - time.monotonic() * 1000)

    def immediate_wake(self) -> None:
        """Do not wait at all."""
        self._timeout_ms = 0.0

    def block(self) -> None:
        """Wait."""
        poll = select.poll()
        for number, events in self._events.items():
            poll.register(number, events)
        poll.poll(self._timeout_ms)


class WakeUp:
    """Lets another thread end a `Waiter.block`."""

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def signal(self) -> None:
        """End the current or the next wait. From any thread."""
        os.eventfd_write(self._fd, 1)

    def wait(self, waiter: Waiter) -> None:
        """Register with `waiter`."""
        waiter.fd_wait(self._fd, select.POLLIN)

    def clear(self) -> None:
        """Forget the signals so far."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._fd)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._fd)
