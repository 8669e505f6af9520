# SPDX-License-Identifier: Apache-2.0
"""The form of the verdict table and how it is read: the first row that fits decides."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from anyvisor.model.host import Host
from anyvisor.model.kinds import Hypervisor, Scheme
from anyvisor.model.plan import Verdict
from anyvisor.planner.facts.traits import Condition, any_host
from anyvisor.planner.facts.version import Version, parse

DRAFT = "draft-gu-sdnrg-decoupling-scheme-hypervisor-00"
HOST = "measured: the host's own facts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One verdict, and for which hosts it holds.

    `versions` is (first, before): first included, before not; None is open. An unknown version fits only a row that is
    open on both sides.
    """

    scheme: Scheme
    possible: bool
    code: str
    reason: str
    source: str
    advised: bool = True
    versions: tuple[Version | None, Version | None] = (None, None)
    when: Condition = any_host
    warnings: tuple[str, ...] = ()

    def fits(self, host: Host) -> bool:
        """Whether the row speaks of that host."""
        return _within(parse(host.version), self.versions) and self.when(host)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caution:
    """A warning that joins whatever possible verdict the host gets for one of `schemes`."""

    schemes: tuple[Scheme, ...]
    text: str
    when: Condition
    versions: tuple[Version | None, Version | None] = (None, None)

    def fits(self, host: Host, scheme: Scheme) -> bool:
        """Whether it speaks of that host under that scheme."""
        return scheme in self.schemes and _within(parse(host.version), self.versions) and self.when(host)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """All that is known about one hypervisor. For each scheme the last row fits every host."""

    hypervisor: Hypervisor
    rows: tuple[Row, ...]
    cautions: tuple[Caution, ...] = ()

    def verdict(self, host: Host, scheme: Scheme) -> Verdict:
        """What the first row that fits says."""
        row = next(row for row in self.rows if row.scheme is scheme and row.fits(host))
        return Verdict(
            scheme=scheme,
            possible=row.possible,
            code=row.code,
            reason=row.reason,
            source=row.source,
            advised=row.possible and row.advised,
            warnings=row.warnings + self._cautions(host, scheme) if row.possible else (),
        )

    def _cautions(self, host: Host, scheme: Scheme) -> tuple[str, ...]:
        return tuple(caution.text for caution in self.cautions if caution.fits(host, scheme))

    def rows_of(self, scheme: Scheme) -> Iterable[Row]:
        """In the order in which they are tried."""
        return (row for row in self.rows if row.scheme is scheme)


def _within(version: Version | None, versions: tuple[Version | None, Version | None]) -> bool:
    first, before = versions
    if version is None:
        return first is None and before is None
    return (first is None or version >= first) and (before is None or version < before)
