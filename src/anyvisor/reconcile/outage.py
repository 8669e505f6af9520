# SPDX-License-Identifier: Apache-2.0
"""How long a vNIC was cut off when it changed switches; the clock runs on while the agent is dead."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from anyvisor.contracts.host import Memory
from anyvisor.model.names import PortName

_FILE = "outages"


class Outages:
    """Begins and ends of being cut off. `clock` gives seconds of the machine's uptime: it must not jump."""

    def __init__(self, memory: Memory, clock: Callable[[], float]) -> None:
        self._memory = memory
        self._clock = clock
        document = memory.load(_FILE)
        self._since: dict[PortName, float] = {
            PortName(k): float(v) for k, v in document.get("since", {}).items()
        }
        self._measured: dict[PortName, int] = {
            PortName(k): int(v) for k, v in document.get("measured", {}).items()
        }

    @property
    def measured(self) -> Mapping[PortName, int]:
        """Milliseconds of each port's last outage."""
        return self._measured

    @property
    def waiting(self) -> frozenset[PortName]:
        """Ports that are cut off now."""
        return frozenset(self._since)

    def begin(self, ports: Iterable[PortName]) -> None:
        """These ports are about to leave their switch. One that is cut off already stays so since then."""
        now = self._clock()
        fresh = [port for port in ports if port not in self._since]
        self._since.update(dict.fromkeys(fresh, now))
        if fresh:
            self._save()

    def end(self, ports: Iterable[PortName]) -> None:
        """These ports are connected again, if they were not."""
        now = self._clock()
        ended = [port for port in ports if port in self._since]
        for port in ended:
            since = self._since.pop(port)
            if since <= now:  # else the machine has been restarted: nobody knows
                self._measured[port] = round((now - since) * 1000)
        if ended:
            self._save()

    def keep(self, ports: Iterable[PortName]) -> None:
        """Forget all ports but these."""
        kept = frozenset(ports)
        if not kept.issuperset(self._since) or not kept.issuperset(self._measured):
            self._since = {port: since for port, since in self._since.items() if port in kept}
            self._measured = {port: ms for port, ms in self._measured.items() if port in kept}
            self._save()

    def _save(self) -> None:
        self._memory.save(_FILE, {"since": self._since, "measured": self._measured})
