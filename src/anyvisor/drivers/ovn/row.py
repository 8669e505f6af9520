# SPDX-License-Identifier: Apache-2.0
"""Northbound rows as values: what a logical object becomes before anything is compared or written."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from anyvisor.model.names import ObjectKey

SWITCH = "Logical_Switch"
SWITCH_PORT = "Logical_Switch_Port"
ROUTER = "Logical_Router"
ROUTER_PORT = "Logical_Router_Port"
ROUTE = "Logical_Router_Static_Route"
NAT = "NAT"
DHCP = "DHCP_Options"
PORT_GROUP = "Port_Group"
ACL = "ACL"
ADDRESS_SET = "Address_Set"
HA_GROUP = "HA_Chassis_Group"
HA_CHASSIS = "HA_Chassis"
GATEWAY_CHASSIS = "Gateway_Chassis"


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """Points at a row of ours by what it is, whether or not it exists yet."""

    table: str
    key: ObjectKey
    part: str = ""

    def __str__(self) -> str:
        return f"{self.table} {self.key}" + (f" {self.part}" if self.part else "")


Scalar: TypeAlias = str | int | bool
Value: TypeAlias = Scalar | Ref | tuple[Scalar, ...] | tuple[Ref, ...] | Mapping[str, str]
"""A scalar column, a reference, a set (an optional column is a set of at most one), or a map."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """The parent column that holds the row: OVSDB drops a row of such a table once nothing holds it."""

    parent: Ref
    column: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSpec:
    """One wanted row. Only the columns named here are compared and written."""

    ref: Ref
    columns: Mapping[str, Value]
    child_of: Child | None = None
    groups: tuple[Ref, ...] = ()
    """Port groups that hold the row weakly."""
    unique: str | None = field(default=None)
    """The name that nobody else may use in this table; a foreign row that has it is a conflict."""


def identifier(name: str) -> str:
    """`name` as an OVN port-group or address-set name: letters, digits, ``_`` and ``.`` only.

    Expressions refer to it as ``@name`` and ``$name_ip4``, so ``-`` cannot stand (ovn-sb(5), "Expressions"). A name
    that had to be changed gets a digest, so that ``a-b`` and ``a_b`` stay two.
    """
    plain = re.sub(r"[^A-Za-z0-9_.]", "_", name)
    if plain != name:
        plain += "." + hashlib.blake2s(name.encode(), digest_size=3).hexdigest()
    return "av." + plain
