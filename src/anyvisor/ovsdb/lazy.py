# SPDX-License-Identifier: Apache-2.0
"""The telemetry database for parts that may never need it: connected to at the first use."""

from __future__ import annotations

from contextlib import ExitStack

from anyvisor.model.state import Beat
from anyvisor.ovsdb.beats import BeatStore
from anyvisor.ovsdb.telemetry import TelemetryStore


class LazyReadings:
    """The telemetry database, connected to when there is something to write."""

    def __init__(self, remote: str) -> None:
        self._remote = remote
        self._store: TelemetryStore | None = None

    def __call__(self) -> TelemetryStore:
        """The store; raises UnreachableError while it does not answer."""
        if self._store is None:
            store = TelemetryStore(self._remote)
            store.start()
            self._store = store
        return self._store

    def close(self) -> None:
        """End the connection."""
        if self._store is not None:
            self._store.close()
            self._store = None


class LazyBeats:
    """The signs of life in the telemetry database, connected to at the first question."""

    def __init__(self, remote: str) -> None:
        self._remote = remote
        self._parts = ExitStack()
        self._store: BeatStore | None = None

    def __call__(self) -> tuple[Beat, ...]:
        """The last one of each appliance; raises UnreachableError while the database does not answer."""
        if self._store is None:
            self._store = self._parts.enter_context(BeatStore(self._remote))
        return self._store.read()

    def close(self) -> None:
        """End the connection."""
        self._parts.close()
