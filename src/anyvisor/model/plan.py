# SPDX-License-Identifier: Apache-2.0
"""What the planner says: a verdict per scheme, a choice, a prediction, steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from anyvisor.model.capacity import Capacity
from anyvisor.model.kinds import Hypervisor, Scheme
from anyvisor.model.names import HostName, PortName


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a scheme is possible on a host, and why.

    `code` is a stable UPPER_SNAKE word, `reason` a sentence, `source` a vendor document, a draft section or
    ``measured``. `advised` is False for what would work but should not be chosen unasked. `warnings` are conditions
    that a chosen scheme brings with it.
    """

    scheme: Scheme
    possible: bool
    code: str
    reason: str
    source: str
    advised: bool = True
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What the view will show once the host's VMs are attached: shares of vNIC bytes, 0..1.

    `controlled` and `observed` are lower bounds: they assume that every byte that may stay local does.
    `local_hops` counts the switches between two VMs of this host; `bottleneck` names the one that limits them.
    """

    controlled: float
    observed: float
    local_hops: int
    bottleneck: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanStep:
    """One thing that apply does: a verb, where, to what."""

    do: str
    on: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unenforced:
    """A security rule that nobody enforces for a port, or only in part."""

    rule: str
    port: PortName
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EscapingPair:
    """Two ports whose traffic the controller neither sees nor filters."""

    host: HostName
    source: PortName
    target: PortName
    network: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EscapeGroup:
    """Ports of one network that can all reach each other around the controller. Names every pair in little space."""

    network: str
    ports: tuple[PortName, ...]

    @property
    def pair_count(self) -> int:
        """How many pairs that is."""
        return len(self.ports) * (len(self.ports) - 1) // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPlan:
    """The choice for one host. `scheme` is None where every scheme is refused; then `because` says so."""

    host: HostName
    hypervisor: Hypervisor
    version: str
    scheme: Scheme | None
    because: tuple[str, ...]
    verdicts: Mapping[Scheme, Verdict]
    rejected: tuple[Verdict, ...]
    """Why each other scheme was not taken: impossible, not advised, below the floor, or less preferred."""
    predicts: Prediction
    steps: tuple[PlanStep, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What `anyvisor plan` prints and `anyvisor apply` carries out."""

    hosts: tuple[HostPlan, ...]
    escapes: tuple[EscapingPair, ...] = ()
    """Pair by pair, as far as there is room; `escape_groups` has them all."""
    escape_groups: tuple[EscapeGroup, ...] = ()
    unenforced: tuple[Unenforced, ...] = ()
    changes: tuple[PlanStep, ...] = ()
    """Steps on the controller and the database, beside those of the hosts."""
    capacities: tuple[Capacity, ...] = ()
    """How full each inner switch is, and would be."""

    @property
    def change_count(self) -> int:
        """How many steps there are in all; 0 means that nothing would change."""
        return len(self.changes) + sum(len(host.steps) for host in self.hosts)
