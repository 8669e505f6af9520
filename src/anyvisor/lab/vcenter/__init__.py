# SPDX-License-Identifier: Apache-2.0
"""The lab's vCenter: starting the program that plays it, and telling it what happens in its world.

The product never comes here; it speaks to the program as to any vCenter.
"""

from anyvisor.lab.vcenter.client import Control, RefusedError
from anyvisor.lab.vcenter.program import Running, start

__all__ = ["Control", "RefusedError", "Running", "start"]
