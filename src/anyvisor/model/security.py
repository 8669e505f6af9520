# SPDX-License-Identifier: Apache-2.0
"""Security groups: stateful, deny by default for ingress.

A port in one or more groups receives only what some rule of those groups lets in. It may send anything, unless one of
its groups has an egress rule: then only what some egress rule lets out. A port in no group is not filtered.
"""

from __future__ import annotations

from dataclasses import dataclass

from anyvisor.model.kinds import Direction, Protocol
from anyvisor.model.names import GroupName


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class PortRange:
    """TCP or UDP ports, both ends included."""

    first: int
    last: int

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One permission. At most one of `cidr` and `group` is set; neither means any address."""

    direction: Direction
    protocol: Protocol = Protocol.ANY
    ports: tuple[PortRange, ...] = ()
    cidr: str | None = None
    group: GroupName | None = None

    def __str__(self) -> str:
        ports = " " + ",".join(str(p) for p in self.ports) if self.ports else ""
        side = "from" if self.direction is Direction.INGRESS else "to"
        return f"{self.direction} {self.protocol}{ports} {side} {self.remote}"

    @property
    def remote(self) -> str:
        """The far side in words: ``any``, a prefix, or ``group NAME``."""
        return self.cidr or (f"group {self.group}" if self.group else "any")


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityGroup:
    """A named set of permissions; membership is by port."""

    name: GroupName
    rules: tuple[Rule, ...] = ()
