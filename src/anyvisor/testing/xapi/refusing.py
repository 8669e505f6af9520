# SPDX-License-Identifier: Apache-2.0
"""How XAPI says no: a code and what belongs to it."""

from __future__ import annotations

from typing import Any


class RefusedError(Exception):
    """``{"Status": "Failure", "ErrorDescription": [CODE, ...]}``."""

    def __init__(self, code: str, *details: str) -> None:
        super().__init__(code, *details)
        self.code = code
        self.details = details

    @property
    def answer(self) -> dict[str, Any]:
        """As it goes over the wire."""
        return {"Status": "Failure", "ErrorDescription": [self.code, *self.details]}
