# SPDX-License-Identifier: Apache-2.0
"""`lab down`: delete exactly what a lab made, also when it was never finished or something was killed."""

from __future__ import annotations

import shutil

from anyvisor.errors import TerminalError
from anyvisor.lab import manifest, namespace, process, rootless
from anyvisor.lab.place import Place

ROUNDS = 5
"""Ending a process may let another start (a script's next line), so it is looked again."""


def down(place: Place) -> bool:
    """Delete the lab; False if there was none. Twice is fine.

    Raises:
        TerminalError: the folder is not a lab's, or something could not be deleted.
        RetryableError: another command is at work on the lab.
    """
    if rootless.needed():
        rootless.end(place)
    if not place.folder.exists():
        return False
    with manifest.locked(place.folder):
        delete(place)
    return True


def delete(place: Place) -> None:
    """Delete what the manifest lists; the caller holds the lab's lock."""
    if not place.manifest.exists() and not any(place.folder.iterdir()):
        place.folder.rmdir()
        return
    listed = manifest.read(place.manifest)
    if listed.keeper is None:
        end_processes(listed)
        namespace.delete(listed.namespaces)
    else:
        rootless.end(place)
    shutil.rmtree(place.folder)
    for folder in (place.root, place.root.parent):
        try:
            folder.rmdir()
        except OSError:
            return


def end_processes(listed: manifest.Manifest) -> None:
    """End whatever runs in the lab's namespaces.

    Raises:
        TerminalError: something keeps starting again or cannot be killed.
    """
    inodes = {inode for name in listed.namespaces if (inode := namespace.inode(name)) is not None}
    for _ in range(ROUNDS):
        found = process.in_namespaces("net", inodes)
        if not found:
            return
        process.end(found)
    left = process.in_namespaces("net", inodes)
    if left:
        raise TerminalError(
            f"these processes in the lab do not end: {', '.join(str(pid) for pid in sorted(left))}"
        )
