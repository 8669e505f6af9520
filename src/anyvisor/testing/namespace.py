# SPDX-License-Identifier: Apache-2.0
"""Network namespaces for tests: made, entered by the calling thread, deleted again."""

from __future__ import annotations

import ctypes
import os
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FOLDER = Path("/run/netns")
_CLONE_NEWNET = 0x40000000


@contextmanager
def namespace(prefix: str = "avt") -> Iterator[str]:
    """A namespace of its own with the loopback device up; its name."""
    name = f"{prefix}-{uuid.uuid4().hex[:8]}"
    ip("netns", "add", name)
    try:
        ip("-n", name, "link", "set", "lo", "up")
        yield name
    finally:
        ip("netns", "del", name)


@contextmanager
def inside(name: str) -> Iterator[None]:
    """Let the calling thread, and the threads and programs that it starts, live in that namespace meanwhile."""
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        target = os.open(_FOLDER / name, os.O_RDONLY)
        try:
            _enter(libc, target)
            yield
        finally:
            os.close(target)
            _enter(libc, before)
    finally:
        os.close(before)


def ip(*arguments: str) -> str:
    """Run `ip` and return what it printed.

    Raises:
        AssertionError: with what it said.
    """
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False, timeout=20)
    if done.returncode:
        raise AssertionError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def _enter(libc: ctypes.CDLL, descriptor: int) -> None:
    if libc.setns(descriptor, _CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
