# SPDX-License-Identifier: Apache-2.0
"""What is possible where, as data: one module of rows per hypervisor, each with its reason and its source.

A new hypervisor is a new module with a `Table` and its line in `table`. The facts that rows ask about are in `keys`.
"""

from anyvisor.planner.facts.keys import KEYS, Key
from anyvisor.planner.facts.table import TABLES, verdict

__all__ = ["KEYS", "TABLES", "Key", "verdict"]
