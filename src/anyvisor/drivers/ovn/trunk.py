# SPDX-License-Identifier: Apache-2.0
"""The trunk card of an appliance without agent, as rows: the parent that child ports hang on (ovn-nb(5), parent_name).

Each has a switch of its own and is disabled: what comes in untagged would else be flooded to every other trunk of its
switch, out of the other hosts (measured with OVN 23.03). Children work all the same.
"""

from __future__ import annotations

from collections.abc import Iterator

from anyvisor.drivers.ovn.row import SWITCH, SWITCH_PORT, Child, Ref, RowSpec
from anyvisor.model.logical import LogicalTrunk
from anyvisor.planner.seats import trunk_port


def rows(trunk: LogicalTrunk) -> Iterator[RowSpec]:
    """A switch and a port per appliance."""
    for chassis in trunk.chassis:
        name = trunk_port(chassis)
        here = Ref(SWITCH, trunk.key, chassis)
        yield RowSpec(ref=here, columns={"name": name}, unique=name)
        yield RowSpec(
            ref=Ref(SWITCH_PORT, trunk.key, chassis),
            columns={"name": name, "enabled": (False,), "options": {"requested-chassis": chassis}},
            child_of=Child(parent=here, column="ports"),
            unique=name,
        )
