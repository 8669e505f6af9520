# SPDX-License-Identifier: Apache-2.0
"""The schemes that a Xen host under xl can go through, one after the other."""

from __future__ import annotations

from dataclasses import dataclass

from anyvisor.lab.xen import domains
from anyvisor.model.kinds import Scheme


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One scheme. `serves` is the domain that switches for the others, if any; with `goes_on` the guests of the stage
    before run on."""

    scheme: Scheme
    serves: str = ""
    goes_on: bool = False

    @property
    def title(self) -> str:
        """What people call it."""
        return self.scheme.value + (", driver domain" if self.driver_domain else "")

    @property
    def driver_domain(self) -> bool:
        """Whether guests' vifs are served by a domain other than dom0."""
        return self.serves == domains.DRIVER_DOMAIN


STAGES = (
    Stage(scheme=Scheme.APPLIANCE, serves=domains.APPLIANCE),
    Stage(scheme=Scheme.APPLIANCE, serves=domains.DRIVER_DOMAIN),
    Stage(scheme=Scheme.SEPARATION),
    Stage(scheme=Scheme.SUBSTITUTION, goes_on=True),
)
"""Every scheme that xl allows without a card that switches."""


def is_last_of_its_guests(stage: Stage) -> bool:
    """Whether no later stage goes on with the guests of this one."""
    after = STAGES[STAGES.index(stage) + 1 :]
    return not (after and after[0].goes_on)
