# SPDX-License-Identifier: Apache-2.0
"""The vendor's client, and the only import of it. It is untyped."""

from __future__ import annotations

from typing import Any

import XenAPI

Client: Any = XenAPI.Session
Failure: Any = XenAPI.Failure
NULL = "OpaqueRef:NULL"
"""What a reference to nothing looks like."""
