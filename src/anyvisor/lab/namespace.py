# SPDX-License-Identifier: Apache-2.0
"""Network namespaces: make, enter, set up, delete.

Links are made by `ip -batch` (one process for many), whose output is never read. What needs a thread inside the
namespace (sysctl, offloads) is done by `entered`.
"""

from __future__ import annotations

import array
import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from anyvisor.errors import TerminalError
from anyvisor.lab.programs import run

FOLDER = Path("/run/netns")
CLONE_NEWNET = 0x40000000
SIOCETHTOOL = 0x8946
ETHTOOL_STXCSUM = 0x17

_libc = ctypes.CDLL(None, use_errno=True)


def inode(name: str) -> int | None:
    """Identifies the namespace among all of this machine while it exists; None if it does not."""
    try:
        return (FOLDER / name).stat().st_ino
    except FileNotFoundError:
        return None


def create(names: Iterable[str]) -> None:
    """Make namespaces, each with its loopback up. One that exists is an error: it may be somebody else's."""
    names = tuple(names)
    batch([f"netns add {name}" for name in names])
    for name in names:
        batch(["link set lo up"], inside=name)


def delete(names: Iterable[str]) -> None:
    """Delete those that exist; with the last process in it, a namespace's interfaces are gone."""
    batch([f"netns del {name}" for name in names if (FOLDER / name).exists()])


def batch(lines: Iterable[str], *, inside: str | None = None) -> None:
    """Give commands to one `ip`, in the order given; the first that fails ends it.

    Raises:
        TerminalError: with what `ip` said.
    """
    text = "\n".join(lines)
    if text:
        where = ["-n", inside] if inside else []
        run(["ip", *where, "-batch", "-"], given=text + "\n")


def command(name: str, argv: Iterable[str]) -> list[str]:
    """The command line that runs `argv` in a namespace, with /sys showing that namespace's devices."""
    return ["ip", "netns", "exec", name, *argv]


@contextmanager
def entered(name: str) -> Iterator[None]:
    """Move the calling thread into a namespace while the context lasts."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        enter(name)
        try:
            yield
        finally:
            set_namespace(home, CLONE_NEWNET)
    finally:
        os.close(home)


def enter(name: str) -> None:
    """Move the calling thread into a namespace for good."""
    there = os.open(FOLDER / name, os.O_RDONLY)
    try:
        set_namespace(there, CLONE_NEWNET)
    finally:
        os.close(there)


def set_namespace(descriptor: int, kind: int) -> None:
    """The system call setns(2), which Python has from 3.12.

    Raises:
        TerminalError: the kernel refuses.
    """
    if _libc.setns(descriptor, kind) != 0:
        number = ctypes.get_errno()
        raise TerminalError(f"cannot enter a namespace: {os.strerror(number)}")


def write_sysctls(name: str, values: Mapping[str, str]) -> None:
    """Set sysctls of a namespace; keys as ``net/ipv4/ip_forward``. One that the kernel lacks is an error."""
    with entered(name):
        for key, value in values.items():
            Path("/proc/sys", key).write_text(value)


def forgo_transmit_checksum(name: str, devices: Iterable[str]) -> None:
    """Make the kernel compute checksums itself.

    A veth otherwise hands over packets with the checksum left to a card that is not there, and a switch in user space
    forwards them as they are: ping works and TCP hangs.
    """
    with entered(name), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        for device in devices:
            value = array.array("I", [ETHTOOL_STXCSUM, 0])
            address, _ = value.buffer_info()
            fcntl.ioctl(asker, SIOCETHTOOL, struct.pack("16sP16x", device.encode(), address))
