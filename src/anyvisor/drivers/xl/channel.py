# SPDX-License-Identifier: Apache-2.0
"""The way to xenstored: its socket in dom0, the kernel's device in any other domain. The same messages go both ways.

Source: Linux, drivers/xen/xenbus/xenbus_dev_frontend.c: what is written there goes to xenstored as the kernel's own
requests do, whole messages at a time; answers and watch events are read from it.
"""

from __future__ import annotations

import os
import select
import socket
import stat
from contextlib import suppress
from pathlib import Path
from typing import Protocol

_RECEIVE_BYTES = 65_536


class Channel(Protocol):
    """Used by one thread; `interrupt` may be called by any other. Everything else raises OSError when it is over."""

    def send(self, data: bytes) -> None:
        """Send a whole message."""

    def receive(self, seconds: float | None) -> bytes:
        """What has come next; empty at the end. Raises TimeoutError after that time; None waits."""

    def interrupt(self) -> None:
        """Let `receive` return nothing, now and for ever."""

    def close(self) -> None:
        """End it."""


def opened(path: str, answer_seconds: float) -> Channel:
    """The channel of that kind that `path` is.

    Raises:
        OSError: nobody answers there.
    """
    if stat.S_ISCHR(Path(path).stat().st_mode):
        return DeviceChannel(path)
    return SocketChannel(path, answer_seconds)


class SocketChannel:
    """xenstored's unix socket."""

    def __init__(self, path: str, answer_seconds: float) -> None:
        """Raises OSError."""
        self._answer_seconds = answer_seconds
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(answer_seconds)
        try:
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise

    def send(self, data: bytes) -> None:
        """See `Channel`."""
        self._socket.settimeout(self._answer_seconds)
        self._socket.sendall(data)

    def receive(self, seconds: float | None) -> bytes:
        """See `Channel`."""
        self._socket.settimeout(seconds)
        return self._socket.recv(_RECEIVE_BYTES)

    def interrupt(self) -> None:
        """See `Channel`."""
        with suppress(OSError):  # it may not be connected any more
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """See `Channel`."""
        self._socket.close()


class DeviceChannel:
    """The kernel's device, ``/dev/xen/xenbus``."""

    def __init__(self, path: str) -> None:
        """Raises OSError."""
        self._device = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._wakes, self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def send(self, data: bytes) -> None:
        """See `Channel`."""
        sent = 0
        while sent < len(data):
            sent += os.write(self._device, data[sent:])

    def receive(self, seconds: float | None) -> bytes:
        """See `Channel`."""
        ready, _, _ = select.select([self._device, self._wakes], [], [], seconds)
        if self._wakes in ready:
            return b""
        if not ready:
            raise TimeoutError
        return os.read(self._device, _RECEIVE_BYTES)

    def interrupt(self) -> None:
        """See `Channel`."""
        with suppress(OSError):  # it may be closed already
            os.write(self._wake, b"!")

    def close(self) -> None:
        """See `Channel`."""
        for descriptor in (self._device, self._wakes, self._wake):
            with suppress(OSError):
                os.close(descriptor)
