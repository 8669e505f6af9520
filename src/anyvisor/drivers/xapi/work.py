# SPDX-License-Identifier: Apache-2.0
"""What steps are carried out with: the login, and the picture that they rest on."""

from __future__ import annotations

from dataclasses import dataclass

from anyvisor.drivers.xapi.picture import Picture
from anyvisor.drivers.xapi.session import Session


@dataclass(frozen=True, slots=True)
class Work:
    """Of one batch of steps."""

    session: Session
    picture: Picture
