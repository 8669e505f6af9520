# SPDX-License-Identifier: Apache-2.0
"""Identifiers. A host is never passed where a port is meant."""

from __future__ import annotations

from typing import Literal, NamedTuple, NewType, TypeAlias

HostName = NewType("HostName", str)
PortName = NewType("PortName", str)
NetworkName = NewType("NetworkName", str)
RouterName = NewType("RouterName", str)
GroupName = NewType("GroupName", str)
SwitchName = NewType("SwitchName", str)
Mac = NewType("Mac", str)
"""Lower case, six colon-separated octets, e.g. ``52:54:00:00:00:01``."""

ObjectKind: TypeAlias = Literal["host", "network", "router", "group", "port", "policy", "manager"]


class ObjectKey(NamedTuple):
    """What a reconciler is given: which object to look at, never what happened to it."""

    kind: ObjectKind
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"
