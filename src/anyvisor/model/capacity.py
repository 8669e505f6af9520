# SPDX-License-Identifier: Apache-2.0
"""How full an inner switch is."""

from __future__ import annotations

from dataclasses import dataclass

from anyvisor.model.condition import Condition
from anyvisor.model.kinds import TagPer
from anyvisor.model.names import HostName, SwitchName

CAPACITY = "Capacity"
ALARM_PERCENT = 80
"""Of an inner switch's tags: from here on somebody should make room. A cluster is not split in an afternoon."""
_NAMED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """The tags of one inner switch. `taken`, `resting` and `free` add up to `total`.

    `per` is what has a tag. `coming` are those that belong there and hold none yet; `needed` are those of them that
    need a free one (who had a tag that still rests gets that one back).
    """

    scope: str
    switch: SwitchName
    hosts: tuple[HostName, ...]
    taken: int
    resting: int
    free: int
    coming: int = 0
    needed: int = 0
    total: int
    remedy: str = ""
    """What makes room."""
    per: TagPer = TagPer.VNIC

    @property
    def full(self) -> bool:
        """A vNIC that is wanted there, or else the next one, gets no tag."""
        return self.needed > self.free or self.free == 0

    @property
    def alarming(self) -> bool:
        """It is full, or will soon be."""
        return self.full or (self.taken + self.coming) * 100 >= self.total * ALARM_PERCENT

    @property
    def advice(self) -> str:
        """What to do about it; empty while there is room."""
        return self.remedy if self.alarming else ""

    def __str__(self) -> str:
        named = ", ".join(self.hosts[:_NAMED]) + (
            f" and {len(self.hosts) - _NAMED} more" if len(self.hosts) > _NAMED else ""
        )
        what = "networks" if self.per is TagPer.NETWORK else "vNICs"
        coming = f", and {self.coming} {what} are to come" if self.coming else ""
        return (
            f"{self.switch} ({named}): of {self.total} tags {self.taken} are taken, {self.resting} rest and "
            f"{self.free} are free{coming}"
        )

    def condition(self) -> Condition:
        """The same as a condition: false once it is time to act."""
        if not self.alarming:
            return Condition(kind=CAPACITY, true=True, reason="Enough", message=str(self))
        reason = "Full" if self.full else "NearlyFull"
        return Condition(kind=CAPACITY, true=False, reason=reason, message=f"{self}; {self.advice}")

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "scope": self.scope,
            "switch": str(self.switch),
            "hosts": [str(host) for host in self.hosts],
            "tags": self.total,
            "taken": self.taken,
            "resting": self.resting,
            "free": self.free,
            "coming": self.coming,
            "per": self.per.value,
            "state": self.condition().reason,
            "advice": self.advice,
        }
