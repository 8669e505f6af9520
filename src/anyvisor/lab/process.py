# SPDX-License-Identifier: Apache-2.0
"""Processes by pid and start time: find them through their namespaces, end exactly those."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Collection, Iterable
from pathlib import Path

PROC = Path("/proc")


def start_time(pid: int) -> int | None:
    """The kernel's start time of a running process (clock ticks since boot); None if it is gone or a zombie."""
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in {"Z", "X"} else int(fields[19])


def name(pid: int) -> str | None:
    """What a running process is called, its first 15 characters; None if it is gone."""
    try:
        return (PROC / str(pid) / "comm").read_text().strip()
    except OSError:
        return None


def alive(pid: int, start: int) -> bool:
    """Whether that very process still runs."""
    return start_time(pid) == start


def pids() -> tuple[int, ...]:
    """All processes that /proc shows."""
    return tuple(int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())


def in_namespaces(kind: str, inodes: Collection[int]) -> frozenset[int]:
    """The processes in any of these namespaces of a kind (``net``, ``user``), zombies left out."""
    return frozenset(
        pid for pid in pids() if namespace_of(pid, kind) in inodes and start_time(pid) is not None
    )


def residents(network: int) -> frozenset[int]:
    """The processes that live in a network namespace: `ip netns exec` has given them a mount namespace of their own.

    Who only visits with setns(2), as this process does to look around, is in ours, and does not end with them.
    """
    ours = namespace_of(os.getpid(), "mnt")
    return frozenset(pid for pid in in_namespaces("net", {network}) if namespace_of(pid, "mnt") != ours)


def namespace_of(pid: int, kind: str) -> int | None:
    """The inode of a process's namespace; None if it is gone or is somebody else's."""
    try:
        return (PROC / str(pid) / "ns" / kind).stat().st_ino
    except OSError:
        return None


def end(wanted: Iterable[int], *, patience_seconds: float = 2.0) -> None:
    """Ask processes to stop, then kill those that have not, and wait until all are gone.

    A pid that is gone is fine. Holds a descriptor of each process, so a reused pid is never hit in between.
    """
    held = {descriptor: pid for pid in wanted if (descriptor := _hold(pid)) is not None}
    try:
        left = _signal_and_wait(set(held), signal.SIGTERM, patience_seconds)
        _signal_and_wait(left, signal.SIGKILL, 10.0)
    finally:
        for descriptor in held:
            os.close(descriptor)


def _hold(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def _signal_and_wait(held: set[int], number: signal.Signals, seconds: float) -> set[int]:
    for descriptor in held:
        try:
            signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            continue
    poll = select.poll()
    for descriptor in held:
        poll.register(descriptor, select.POLLIN)
    left = set(held)
    while left:
        ready = poll.poll(seconds * 1000)
        if not ready:
            break
        for descriptor, _ in ready:
            poll.unregister(descriptor)
            left.discard(descriptor)
    return left
