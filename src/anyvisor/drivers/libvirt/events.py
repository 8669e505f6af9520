# SPDX-License-Identifier: Apache-2.0
"""libvirt's event loop: one per process, by the library's own rule, in a thread of its own."""

from __future__ import annotations

import logging
import threading
from typing import Any

log = logging.getLogger(__name__)

_started = threading.Lock()
"""Held for good once the loop runs: it cannot be ended, and must be there before the first connection is made."""


def library() -> Any:
    """The module `libvirt`, with its event loop running.

    Raises:
        ImportError: the distribution's package python3-libvirt is not there.
    """
    import libvirt

    if _started.acquire(blocking=False):
        # Errors are raised as exceptions too; nothing shall be printed beside them.
        libvirt.registerErrorHandler(lambda *_: None, None)
        libvirt.virEventRegisterDefaultImpl()
        # Without a timer the loop would sleep through connections that are made later by other threads.
        libvirt.virEventAddTimeout(500, lambda *_: None, None)
        threading.Thread(target=_run, args=(libvirt,), name="libvirt events", daemon=True).start()
    return libvirt


def _run(libvirt: Any) -> None:
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError:
            log.exception("the event loop of libvirt failed once; it goes on")
