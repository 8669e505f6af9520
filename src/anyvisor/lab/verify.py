# SPDX-License-Identifier: Apache-2.0
"""Carrying out checks with real packets, many at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from anyvisor.lab import datagram, vm
from anyvisor.lab.checks import Check, Plan
from anyvisor.lab.crash import Crash, CrashWatch
from anyvisor.lab.datagram import End
from anyvisor.lab.place import Place
from anyvisor.lab.prober_client import Prober, part_names, probers
from anyvisor.lab.progress import Say
from anyvisor.model.names import PortName
from anyvisor.planner.reach import Addresses

ATTEMPTS = 5
"""For what should pass: the first packet to a new tunnel peer is lost while its address is looked up."""
ADDRESS_SECONDS = 30.0
"""How long VMs are given to get their addresses."""
LOOK_SECONDS = 0.2
"""How often it is looked whether one has an address, or is reached again."""
ADDRESSES = frozenset({"dhcp", "slaac"})
"""Checks that ask for an address."""
LEASE = {"dhcp": "ip", "dhcp-mtu": "mtu", "dhcp-gateway": "router"}
"""Checks that ask the lease, and what they ask it."""
HEARD = ADDRESSES | LEASE.keys()
"""Checks of what a machine was told; all others send packets."""
LINES, PAUSE_SECONDS = 5, 0.1
"""What is said over a connection that is to last."""
LIAR_PORT, FRAMES = 40_000, 3
"""Frames that are made by hand: their UDP source port, and how many are sent at once."""
SILENCE = "no answer"
"""What a prober says when nothing came back."""
RECOVERY_SECONDS = 30.0
"""How long a switch that crashed is given to pass packets again, once its monitor has started it anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How many questions are open at the same time, and how long one packet may take: the forbidden ones all wait that
    long."""

    at_once: int = 96
    patience_seconds: float = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A check and what came of it. `detail` says more where the two differ.

    `unproven`: not even what must pass did, so that nothing was learned.
    """

    check: Check
    allowed: bool
    detail: str = ""
    unproven: bool = False

    @property
    def passed(self) -> bool:
        """Whether it is as it should be. What is stopped though nobody was sure to stop it is no mistake."""
        if self.unproven:
            return False
        expected = self.check.expected
        return self.allowed == expected.allow or (expected.allow and not expected.certain)

    @property
    def may_repeat(self) -> bool:
        """Whether it failed in a way that a switch that is away explains. What arrived and should not have, stands."""
        return not self.passed and (not self.allowed or self.unproven)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All results. `duplicates` counts datagrams that arrived more than once, per (source, target).

    `crashes` lists daemons of the lab that died of themselves meanwhile; what did not arrive then was checked again.
    """

    results: tuple[Result, ...]
    duplicates: Mapping[tuple[str, str], int]
    seconds: float
    crashes: tuple[Crash, ...] = ()

    @property
    def failures(self) -> tuple[Result, ...]:
        """The results that are not as they should be."""
        return tuple(result for result in self.results if not result.passed)


def verify(place: Place, plan: Plan, say: Say, pace: Pace | None = None) -> Report:
    """Carry out every check.

    Raises:
        UnreachableError: a prober does not answer.
    """
    return asyncio.run(_verify(place, plan, say, pace or Pace()))


async def _verify(place: Place, plan: Plan, say: Say, pace: Pace) -> Report:
    begin = time.monotonic()
    watch = CrashWatch(place)
    async with probers(place, part_names(plan.topology)) as lines:
        macs = {machine.name: machine.mac for machine in plan.topology.vms}
        examiner = _Examiner(place, lines, macs, plan.picture.addresses, pace)
        addresses, others = _split(plan.checks)
        results = await examiner.addresses(addresses)
        missing = sum(not result.passed for result in results)
        say(f"addresses: {len(results) - missing} of {len(results)} as decided")
        results += await examiner.all_of(others)
        crashes = watch.new()
        if crashes:
            say(f"{', '.join(map(str, crashes))}; what did not arrive is checked again")
            results = await examiner.once_more(results)
        duplicates = await examiner.duplicates()
    return Report(
        results=tuple(results),
        duplicates=duplicates,
        seconds=time.monotonic() - begin,
        crashes=(*crashes, *watch.new()),
    )


def _split(checks: Iterable[Check]) -> tuple[list[Check], list[Check]]:
    addresses: list[Check] = []
    others: list[Check] = []
    for check in checks:
        (addresses if check.proto in HEARD else others).append(check)
    return addresses, others


def _lacking(results: Iterable[Result]) -> set[tuple[str, int]]:
    """Who has no address of which IP version."""
    return {(r.check.source, r.check.version) for r in results if r.check.proto in ADDRESSES and not r.passed}


class _Examiner:
    def __init__(
        self,
        place: Place,
        lines: Mapping[str, Prober],
        macs: Mapping[str, str],
        addresses: Addresses,
        pace: Pace,
    ) -> None:
        self._place = place
        self._patience = pace.patience_seconds
        self._lines = lines
        self._macs = macs
        self._addresses = addresses
        self._doing = {"spoof": self._forged, "oversized": self._told, "sender": self._as_whom}
        self._slots = asyncio.Semaphore(pace.at_once)
        self._numbers = count(1)
        self._mark = f"{time.time_ns():x}"
        self._sent: dict[str, Check] = {}
        self._without_address: set[tuple[str, int]] = set()

    async def addresses(self, checks: Iterable[Check]) -> list[Result]:
        """Wait until every VM has the addresses it should have, or the time is up."""
        open_checks = list(checks)
        done: list[Result] = []
        give_up = time.monotonic() + ADDRESS_SECONDS
        while open_checks:
            results = await asyncio.gather(*(self._was_told(check) for check in open_checks))
            final = time.monotonic() > give_up
            done += [result for result in results if result.passed or final]
            open_checks = [result.check for result in results if not result.passed and not final]
            if open_checks:
                await asyncio.sleep(LOOK_SECONDS)
        # Whoever has no address is not asked again and again: each of those answers is known.
        self._without_address = _lacking(done)
        return done

    async def _was_told(self, check: Check) -> Result:
        if check.proto in LEASE:
            got = [vm.lease(self._place, check.source).get(LEASE[check.proto], "")]
        else:
            got = list((await self._lines[check.source].ask("addresses"))["ipv6"])
        there = check.address in got
        found = ", ".join(filter(None, got)) or "none"
        return Result(
            check=check, allowed=there, detail="" if there else f"awaited {check.address}, found {found}"
        )

    async def all_of(self, checks: Iterable[Check]) -> list[Result]:
        """Carry the checks out, so many at a time."""
        return list(await asyncio.gather(*(self._one(check) for check in checks)))

    async def once_more(self, results: Iterable[Result]) -> list[Result]:
        """Repeat what did not arrive until it does or the time is up; the results, in their order."""
        latest = list(results)
        give_up = time.monotonic() + RECOVERY_SECONDS
        while (again := [i for i, result in enumerate(latest) if result.may_repeat]) and (
            time.monotonic() < give_up
        ):
            await asyncio.sleep(LOOK_SECONDS)
            repeated = await asyncio.gather(*(self._repeated(latest[i].check) for i in again))
            for i, result in zip(again, repeated, strict=True):
                latest[i] = result
            self._without_address = _lacking(latest)
        return latest

    async def _repeated(self, check: Check) -> Result:
        return await (self._was_told(check) if check.proto in HEARD else self._one(check))

    async def _one(self, check: Check) -> Result:
        async with self._slots:
            return await self._doing.get(check.proto, self._reached)(check)

    async def _reached(self, check: Check) -> Result:
        lost = {(check.source, check.version), (check.target, check.version)} & self._without_address
        attempts = ATTEMPTS if check.expected.allow and not lost else 1
        why = ""
        for attempt in range(attempts):
            begin = time.monotonic()
            answer = await self._ask(check)
            if answer["ok"]:
                return Result(check=check, allowed=True)
            why = answer.get("why", "")
            if attempt + 1 < attempts:
                # What is refused at once ("network is unreachable") gets as much time as what is not answered.
                await asyncio.sleep(max(0.0, self._patience - (time.monotonic() - begin)))
        return Result(check=check, allowed=False, detail=why)

    async def _ask(self, check: Check) -> dict[str, Any]:
        return await self._lines[check.source].ask(check.proto, **self._details(check))

    def _details(self, check: Check) -> dict[str, Any]:
        details: dict[str, Any] = {
            "to": check.address,
            "token": self._token(check),
            "timeout": self._patience,
        }
        if check.port is not None:
            details["port"] = check.port
        if check.size is not None:
            details["size"] = check.size
        if check.proto == "converse":
            talking = LINES * (PAUSE_SECONDS + PAUSE_SECONDS)
            details |= {"times": LINES, "pause": PAUSE_SECONDS, "timeout": self._patience + talking}
        return details

    def _token(self, check: Check) -> str:
        token = f"{self._mark}-{next(self._numbers)}"
        if check.proto == "udp":
            self._sent[token] = check
        return token

    async def _forged(self, check: Check) -> Result:
        honest = replace(check, posing=None, posing_mac=None)
        if not await self._arrives(honest, attempts=ATTEMPTS):
            detail = "not even what the sender says as itself gets there"
            return Result(check=check, allowed=not check.expected.allow, detail=detail, unproven=True)
        arrived = await self._arrives(check, attempts=1)
        return Result(check=check, allowed=arrived, detail=f"sent as {check.posing or check.posing_mac}")

    async def _arrives(self, check: Check, *, attempts: int) -> bool:
        """Whether any of some frames made by hand gets there. They do not ask for neighbours, so none is waited for."""
        tokens = []
        for _ in range(attempts):
            for _ in range(FRAMES):
                tokens.append(self._token(check))
                data = self._frame(check, tokens[-1]).hex()
                await self._lines[check.source].ask("frame", hex=data, card=vm.CARD)
            await asyncio.sleep(self._patience / 2)
            often = (await self._lines[check.target].ask("seen", tokens=tokens))["often"]
            if any(often.values()):
                return True
        return False

    def _frame(self, check: Check, token: str) -> bytes:
        own = next(a for a in self._addresses[PortName(check.source)] if (":" in a) == (":" in check.address))
        sender = End(mac=check.posing_mac or self._macs[check.source], ip=check.posing or own, port=LIAR_PORT)
        receiver = End(mac=self._macs[check.target], ip=check.address, port=check.port or 0)
        return datagram.build(sender, receiver, token.encode())

    async def _told(self, check: Check) -> Result:
        """Asked some times: a packet may be lost while somebody's address is looked up."""
        for _ in range(ATTEMPTS):
            answer = await self._lines[check.source].ask("sized", **self._details(check))
            why = answer.get("why", "")
            if answer["ok"] or why != SILENCE:
                return Result(check=check, allowed=True, detail=why)
        return Result(check=check, allowed=False, detail="lost, and nobody said so")

    async def _as_whom(self, check: Check) -> Result:
        why = ""
        for _ in range(ATTEMPTS):
            details = self._details(check)
            answer = await self._lines[check.source].ask("udp", **details)
            why = answer.get("why", "")
            if answer["ok"]:
                token = details["token"]
                senders = (await self._lines[check.target].ask("seen", tokens=[token]))["senders"]
                detail = f"awaited {check.posing}, seen {senders[token]}"
                return Result(check=check, allowed=senders[token] == check.posing, detail=detail)
        return Result(check=check, allowed=False, detail=why)

    async def duplicates(self) -> dict[tuple[str, str], int]:
        """Datagrams that came more than once."""
        by_target: dict[str, list[str]] = {}
        for token, check in self._sent.items():
            by_target.setdefault(check.target, []).append(token)
        found: dict[tuple[str, str], int] = {}
        for target, tokens in by_target.items():
            often = (await self._lines[target].ask("seen", tokens=tokens))["often"]
            for token, times in often.items():
                if times > 1:
                    check = self._sent[token]
                    pair = (check.source, check.target)
                    found[pair] = found.get(pair, 0) + times - 1
        return found
