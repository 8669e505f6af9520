# SPDX-License-Identifier: Apache-2.0
"""The driver of a pool: the estate, and the steps that change it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from anyvisor.access import credentials
from anyvisor.access.trust import trust
from anyvisor.drivers.xapi import networks, plugging, rights
from anyvisor.drivers.xapi.feed import Feed
from anyvisor.drivers.xapi.picture import Picture
from anyvisor.drivers.xapi.session import Session
from anyvisor.drivers.xapi.watcher import Watcher
from anyvisor.drivers.xapi.work import Work
from anyvisor.errors import TerminalError
from anyvisor.model.estate import (
    CardId,
    DropGroup,
    Estate,
    EstateStep,
    Giveback,
    Health,
    MakeGroup,
    MissingRight,
    Plugin,
    describe,
)
from anyvisor.model.names import HostName
from anyvisor.model.site import Manager
from anyvisor.model.vnic import Counters

if TYPE_CHECKING:
    from anyvisor.contracts.estate import EstateDriver


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How many seconds we wait: for an answer (moving a VIF is one call), and for news before we ask again."""

    answer_seconds: float = 60.0
    news_seconds: float = 30.0


class XapiEstate:
    """One pool. Its hosts are of one cluster, called as the manager is."""

    def __init__(
        self, manager: str, owner: str, sessions: Callable[[float], Session], patience: Patience
    ) -> None:
        self._manager = manager
        self._owner = owner
        self._sessions = sessions
        self._patience = patience
        self._session = sessions(patience.answer_seconds)
        self._feed = Feed(self._session)
        self._picture: Picture | None = None

    @classmethod
    def connect(cls, manager: Manager, owner: str, *, patience: Patience | None = None) -> XapiEstate:
        """The driver of that manager, with a picture of it.

        Raises:
            TerminalError: address, certificate or credentials are wrong.
            UnreachableError: it does not answer.
        """
        if not manager.url:
            raise TerminalError(
                f"{manager.name}: an XAPI pool needs its master's address", hint="url: https://HOST"
            )
        trusted = trust(manager.ca)

        def session(timeout_seconds: float) -> Session:
            return Session(
                manager.name,
                manager.url,
                trusted,
                lambda: credentials.read(manager.credentials),
                timeout_seconds=timeout_seconds,
            )

        driver = cls(manager.name, owner, session, patience or Patience())
        try:
            driver.estate()
        except BaseException:
            driver.close()
            raise
        return driver

    def close(self) -> None:
        """Log out."""
        self._session.close()

    def estate(self) -> Estate:
        """One call to ask for changes; without any it is the same object."""
        return self._refreshed().estate

    def apply(self, steps: Iterable[EstateStep]) -> None:
        """In order; the first that is refused ends it. What an earlier one left half done is finished first."""
        unfinished = plugging.tidy(Work(self._session, self._refreshed()))
        for _, batch in groupby(steps, key=type):
            picture = self._refreshed()
            for step in batch:
                self._carry_out(Work(self._session, picture), step)
                if isinstance(step, (MakeGroup, DropGroup)):
                    picture = self._refreshed()  # the next may be about the same
        if unfinished is not None:
            raise unfinished

    def counters(self, cards: Iterable[CardId]) -> Mapping[CardId, Counters]:  # noqa: ARG002 - nothing is known of any
        """None: XAPI counts nothing on VIFs. It tells rates, averaged over seconds, outside of the API; and the agent
        in dom0 counts where one runs.

        Source: xen-api, ocaml/idl/datamodel.ml: VIF_metrics "Disabled in favour of RRDs".
        """
        return {}

    def healths(self) -> Mapping[str, Health]:
        """None: no appliances are made here."""
        return {}

    def missing_rights(self) -> tuple[MissingRight, ...]:
        """Calls that the account may not make."""
        return rights.missing(self._session)

    def watch(self, notify: Callable[[frozenset[HostName]], None]) -> AbstractContextManager[None]:
        """In a thread and a session of its own."""
        return self._watching(notify)

    @contextmanager
    def _watching(self, notify: Callable[[frozenset[HostName]], None]) -> Iterator[None]:
        patience = self._patience
        session = self._sessions(patience.news_seconds + patience.answer_seconds)
        watcher = Watcher(session, notify, wait_seconds=patience.news_seconds)
        watcher.start()
        try:
            yield
        finally:
            watcher.stop()

    def _refreshed(self) -> Picture:
        heard = self._feed.changes()
        if self._picture is None or heard.events or heard.anew:
            before = {} if self._picture is None else self._picture.places
            self._picture = Picture(self._feed.pool, self._owner, self._manager, before)
            rows = self._feed.pool.rows("host").values()
            self._session.know(str(row["address"]) for row in rows)
        return self._picture

    def _carry_out(self, work: Work, step: EstateStep) -> None:
        match step:
            case MakeGroup():
                networks.make(work, step)
            case DropGroup():
                networks.drop(work, step)
            case Plugin():
                plugging.plug(work, step)
            case Giveback():
                plugging.give_back(work, step)
            case _:
                raise TerminalError(f"{self._manager}: an XAPI pool is not driven that far: {describe(step)}")


if TYPE_CHECKING:
    _conforms: type[EstateDriver] = XapiEstate
