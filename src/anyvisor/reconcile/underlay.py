# SPDX-License-Identifier: Apache-2.0
"""Probes the underlay of one host: at the start, when its peers or networks change, and every few minutes.

The probing waits for answers, so it has a thread of its own; the host's reconciler leaves the question and takes what
was found last.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from anyvisor.contracts.host import Prober
from anyvisor.errors import AnyvisorError
from anyvisor.model.condition import Condition
from anyvisor.model.names import HostName
from anyvisor.planner.underlay import (
    UNDERLAY,
    Finding,
    Question,
    between,
    probing_condition,
    rungs,
    sample,
    smallest,
    underlay_condition,
)

log = logging.getLogger(__name__)

AGAIN_SECONDS = 30.0
"""How soon a finding that is not good is looked at again."""
ANSWER_SECONDS = 1.0
SETTLE_SECONDS = 5.0
"""How long a chassis that knows no other yet waits for tunnels to appear before it says that it is alone."""
ATTEMPTS = 3
"""How often the size that is needed goes unanswered before it counts as too large."""
ROUNDS = 8
"""Sixteen sizes at once, so four rounds find the very size and one checks it; more where answers are lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    question: Question
    condition: Condition
    findings: tuple[Finding, ...] = ()


class Underlay:
    """`look` is called by the reconciler's thread, `run` is the thread that probes. `clock` gives seconds of uptime."""

    def __init__(
        self,
        prober: Prober,
        *,
        every_seconds: float,
        clock: Callable[[], float],
        tell: Callable[[], None] = lambda: None,
        answer_seconds: float = ANSWER_SECONDS,
        settle_seconds: float = SETTLE_SECONDS,
    ) -> None:
        self._prober = prober
        self._every = every_seconds
        self._clock = clock
        self._tell = tell
        self._patience = answer_seconds
        self._settle = settle_seconds
        self._settled = 0.0
        self._state = threading.Condition()
        self._question: Question | None = None
        self._answer: _Answer | None = None
        self._due = 0.0
        self._turn = 0
        self._stopping = False

    def look(self, question: Question | None) -> tuple[Condition, ...]:
        """What was found last, as far as it answers that question; a new one is seen to soon, and until then the
        condition says so. None: nothing to ask.
        """
        with self._state:
            if question != self._question:
                if self._question is None:
                    self._settled = self._clock() + self._settle
                self._question = question
                self._due = self._clock()
                self._state.notify_all()
            known = self._answer
        if question is None:
            return ()
        if known is None or not _answers(known.question, question):
            return (probing_condition(question),)
        return (known.condition,)

    def stop(self) -> None:
        """End `run` after the probe that is under way."""
        with self._state:
            self._stopping = True
            self._state.notify_all()

    def run(self) -> None:
        """Probe whenever it is time, until `stop`."""
        while True:
            with self._state:
                while not self._stopping and (self._question is None or self._due > self._clock()):
                    wait = self._every if self._question is None else self._due - self._clock()
                    self._state.wait(max(wait, 0.01))
                if self._stopping:
                    return
            try:
                self.step()
            except Exception as fault:
                # A fault of ours must not end the watch, nor leave anybody waiting; the next probe comes at its time.
                log.exception("the probe of the underlay failed")
                with self._state:
                    question = self._question
                if question is not None:
                    self._not_probed(question, str(fault))

    def step(self) -> None:
        """Probe now, if there is a question, and keep what was found."""
        with self._state:
            question, before = self._question, self._answer
            self._due = self._clock() + self._every
            self._turn += 1
            turn = self._turn - 1
            if question is not None and not question.peers and self._clock() < self._settled:
                self._due = self._settled
                return
        if question is None:
            return
        try:
            answer = self._answered(question, before, turn)
        except AnyvisorError as error:
            self._not_probed(question, str(error))
            return
        self._keep(answer)

    def _not_probed(self, question: Question, why: str) -> None:
        said = Condition(kind=UNDERLAY, true=False, reason="NotProbed", message=why)
        self._keep(_Answer(question=question, condition=said))

    def _keep(self, answer: _Answer) -> None:
        question = answer.question
        with self._state:
            before, self._answer = self._answer, answer
            soon = not answer.condition.true or any(finding.passed is None for finding in answer.findings)
            if question == self._question and soon:
                self._due = min(self._due, self._clock() + min(self._every, AGAIN_SECONDS))
        if before is None or before.condition != answer.condition or not _answers(before.question, question):
            log.log(logging.INFO if answer.condition.true else logging.WARNING, "%s", answer.condition)
            self._tell()

    def _answered(self, question: Question, before: _Answer | None, turn: int) -> _Answer:
        bad = [f.peer for f in before.findings if f.passed != question.size] if before is not None else []
        peers = sample(question.peers, question.host, turn, bad)
        findings = self._probe(question, {peer: question.peers[peer] for peer in peers})
        return _Answer(question=question, condition=underlay_condition(question, findings), findings=findings)

    def _probe(self, question: Question, peers: Mapping[HostName, str]) -> tuple[Finding, ...]:
        """The wanted size first; then, of those that did not answer to it, the largest size that they do answer to."""
        addresses = set(peers.values())
        passed = self._ask(question.source, {a: {question.size} for a in addresses}, ATTEMPTS)
        waiting = {address for address in addresses if not passed[address]}
        alive = self._ask(question.source, {a: {smallest(a)} for a in waiting}, ATTEMPTS)
        found = self._largest(question, {address for address in waiting if alive[address]})
        return tuple(
            Finding(
                peer=peer,
                address=address,
                passed=question.size if address not in waiting else found.get(address),
            )
            for peer, address in sorted(peers.items())
        )

    def _largest(self, question: Question, addresses: set[str]) -> dict[str, int]:
        """Closing in from both ends. Where they meet, all that is larger is asked again: answers may have been lost."""
        known = {address: (smallest(address), question.size) for address in addresses}
        checked: set[str] = set()
        for _ in range(ROUNDS):
            asked: dict[str, set[int]] = {}
            for address, (passed, failed) in known.items():
                if address in checked:
                    continue
                asked[address] = set(rungs(passed, failed))
                if not asked[address]:
                    checked.add(address)
                    known[address] = (passed, question.size)
                    asked[address] = {passed + 1, *rungs(passed, question.size)} - {question.size}
            seen = self._ask(
                question.source, {a: listed for a, listed in asked.items() if listed}, ATTEMPTS - 1
            )
            for address, answered in seen.items():
                if answered:
                    checked.discard(address)
                if address not in checked:
                    known[address] = between(*known[address], answered)
        return {address: passed for address, (passed, _) in known.items()}

    def _ask(self, source: str, sizes: Mapping[str, set[int]], attempts: int) -> dict[str, set[int]]:
        """What was answered in so many attempts: a lost packet is no small MTU. Only what is missing is sent again."""
        answered: dict[str, set[int]] = {address: set() for address in sizes}
        for _ in range(attempts):
            missing = {a: listed - answered[a] for a, listed in sizes.items() if listed - answered[a]}
            if not missing:
                break
            for address, passed in self._prober.answered(source, missing, self._patience).items():
                answered[address] |= set(passed)
        return answered


def _answers(known: Question, question: Question) -> bool:
    """Peers come and go; what was found of some still holds until the next probe. Of none, nothing was found."""
    asked = bool(known.peers) or not question.peers
    return asked and (known.source, known.size) == (question.source, question.size)
