# SPDX-License-Identifier: Apache-2.0
"""pyVmomi, and the only import of it. Untyped on purpose: its stubs take each property for optional, even a name."""

from __future__ import annotations

from typing import Any

import pyVmomi

vim: Any = pyVmomi.vim  # type: ignore[attr-defined]
vmodl: Any = pyVmomi.vmodl  # type: ignore[attr-defined]
types: Any = pyVmomi.VmomiSupport
Stub: Any = pyVmomi.SoapAdapter.SoapStubAdapter

Dvs: Any = vim.dvs.VmwareDistributedVirtualSwitch
Card: Any = vim.vm.device.VirtualEthernetCard
