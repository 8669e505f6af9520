# SPDX-License-Identifier: Apache-2.0
"""Which hypervisor's table answers, and the question itself."""

from __future__ import annotations

from collections.abc import Mapping

from anyvisor.model.host import Host
from anyvisor.model.kinds import Hypervisor, Scheme
from anyvisor.model.plan import Verdict
from anyvisor.planner.facts import esxi, kvm, xen
from anyvisor.planner.facts.rows import Table

TABLES: Mapping[Hypervisor, Table] = {table.hypervisor: table for table in (kvm.TABLE, esxi.TABLE, xen.TABLE)}


def verdict(host: Host, scheme: Scheme) -> Verdict:
    """Whether that scheme is possible on that host, and why. There is an answer for every host and every scheme."""
    return TABLES[host.hypervisor].verdict(host, scheme)
