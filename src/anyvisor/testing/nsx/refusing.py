# SPDX-License-Identifier: Apache-2.0
"""How NSX says no: a status, an error code, a sentence."""

from __future__ import annotations

from typing import Any

_WORDS = {
    400: "BAD_REQUEST",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    412: "PRECONDITION_FAILED",
    429: "TOO_MANY_REQUESTS",
    500: "INTERNAL_SERVER_ERROR",
    503: "SERVICE_UNAVAILABLE",
}


class RefusedError(Exception):
    """An answer that is none of success."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code

    @property
    def body(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "httpStatus": _WORDS.get(self.status, str(self.status)),
            "error_code": self.code,
            "module_name": "policy",
            "error_message": str(self),
        }


def invalid(message: str) -> RefusedError:
    """The body does not fit its schema."""
    return RefusedError(400, 500012, message)


def missing(path: str) -> RefusedError:
    """There is no such object."""
    return RefusedError(404, 500012, f"The path=[{path}] is invalid")


def in_use(path: str, by: str) -> RefusedError:
    """It cannot be deleted."""
    return RefusedError(
        400,
        500030,
        f"The object path=[{path}] cannot be deleted as either it has children or it is being referenced by "
        f"other objects path=[{by}].",
    )


def plugged(path: str, count: int) -> RefusedError:
    """A segment that vNICs are plugged into."""
    return RefusedError(
        400,
        503040,
        f"Segment {path} has {count} VMs or VIFs attached. Disconnect all VMs and VIFs before deleting a segment.",
    )


def stale(path: str) -> RefusedError:
    """The revision is not the one that is stored."""
    return RefusedError(
        412, 604, f"The object {path} is not at the revision that was given. Fetch it again and retry."
    )
