# SPDX-License-Identifier: Apache-2.0
"""The driver of a vCenter, or of an ESXi host without one: the estate, and the steps that change it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from anyvisor.access import credentials
from anyvisor.access.trust import trust
from anyvisor.drivers.vsphere import (
    appliances,
    migrations,
    plugging,
    portgroups,
    rights,
    switches,
)
from anyvisor.drivers.vsphere.collector import EVERYTHING, Collector
from anyvisor.drivers.vsphere.counters import PortPlace, RateTotals, VmPlace, of_ports
from anyvisor.drivers.vsphere.endpoint import endpoint
from anyvisor.drivers.vsphere.picture import Picture
from anyvisor.drivers.vsphere.session import Session
from anyvisor.drivers.vsphere.vitals import Vitals
from anyvisor.drivers.vsphere.watcher import Watcher
from anyvisor.drivers.vsphere.work import Work
from anyvisor.errors import TerminalError
from anyvisor.model.estate import (
    Appliance,
    CardId,
    Deploy,
    DropGroup,
    DropSwitch,
    Estate,
    EstateStep,
    Fence,
    Giveback,
    Health,
    MakeGroup,
    MakeSwitch,
    MissingRight,
    Pin,
    Plugin,
    Remove,
    Start,
)
from anyvisor.model.names import HostName
from anyvisor.model.site import Manager
from anyvisor.model.vnic import Counters

if TYPE_CHECKING:
    from anyvisor.contracts.estate import EstateDriver


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long we wait: for an answer, for a task, and for news before we ask again."""

    answer_seconds: float = 30.0
    task_seconds: float = 300.0
    news_seconds: int = 20


class VsphereEstate:
    """Steps of one kind that stand side by side are carried out together."""

    def __init__(
        self, manager: str, owner: str, sessions: Callable[[float], Session], patience: Patience
    ) -> None:
        self._manager = manager
        self._owner = owner
        self._sessions = sessions
        self._patience = patience
        self._session = sessions(patience.answer_seconds)
        self._collector = Collector(self._session, EVERYTHING)
        self._picture = Picture(owner, manager, vcenter=True)
        self._rates = RateTotals()
        self._vitals = Vitals()
        self._appliances: Mapping[str, str] = {}
        """Keys of appliances by the keys of their VMs, for other threads."""
        self._shown: Mapping[str, Appliance] = {}
        self._work = Work(
            self._session, lambda: self._picture, self._refresh, patience_seconds=patience.task_seconds
        )

    @classmethod
    def connect(cls, manager: Manager, owner: str, *, patience: Patience | None = None) -> VsphereEstate:
        """The driver of that manager, with a picture of it.

        Raises:
            TerminalError: address, certificate or credentials are wrong.
            UnreachableError: it does not answer.
        """
        if not manager.url:
            raise TerminalError(
                f"{manager.name}: a vSphere manager needs its address", hint="url: https://HOST/sdk"
            )
        trusted = trust(manager.ca)

        def session(timeout_seconds: float) -> Session:
            where = endpoint(manager.url, trusted, timeout_seconds)
            return Session(manager.name, where, lambda: credentials.read(manager.credentials))

        driver = cls(manager.name, owner, session, patience or Patience())
        try:
            driver.estate()
        except BaseException:
            driver.close()  # a session left open counts there until it is idle for half an hour
            raise
        return driver

    def close(self) -> None:
        """Log out."""
        self._session.close()

    def estate(self) -> Estate:
        """One call to ask for changes; what did not change is not made anew."""
        self._refresh()
        return self._picture.estate()

    def apply(self, steps: Iterable[EstateStep]) -> None:
        """In order; the first that is refused ends it. Of steps carried out together others may be done then."""
        for batch in batches(steps):
            self._refresh()
            self._carry_out(batch)

    def healths(self) -> Mapping[str, Health]:
        """From the watch, which waits for nothing else."""
        found = ((key, self._vitals.of(vm)) for vm, key in self._appliances.items())
        return {key: health for key, health in found if health is not None}

    def counters(self, cards: Iterable[CardId]) -> Mapping[CardId, Counters]:
        """Totals on a distributed switch; on others what was added since they were first asked for."""
        ports: list[PortPlace] = []
        rest: list[VmPlace] = []
        picture = self._picture
        for card in cards:
            vm = picture.vms.get(picture.index.by_uuid.get(card.vm, ""))
            held = (
                next((each for each in vm.cards if each.key == card.card), None) if vm is not None else None
            )
            if vm is None or held is None or not vm.running:
                continue
            place = held.place
            switch = picture.index.switch_by_uuid.get(place.switch or "") if place is not None else None
            if place is not None and switch is not None and place.port:
                ports.append(PortPlace(card, switch, place.port))
            else:
                rest.append(VmPlace(card, vm.key))
        doing = "reading counters"
        found = self._session.read(lambda opened: of_ports(opened, ports), doing)
        return found | self._session.read(lambda opened: self._rates.read(opened, rest), doing)

    def missing_rights(self) -> tuple[MissingRight, ...]:
        """As vSphere names them."""
        return self._session.read(rights.missing, "asking for our rights")

    def watch(self, notify: Callable[[frozenset[HostName]], None]) -> AbstractContextManager[None]:
        """In a thread and a session of its own."""
        return self._watching(notify)

    @contextmanager
    def _watching(self, notify: Callable[[frozenset[HostName]], None]) -> Iterator[None]:
        patience = self._patience
        session = self._sessions(patience.news_seconds + patience.answer_seconds)
        watcher = Watcher(session, notify, self._vitals, wait_seconds=patience.news_seconds)
        watcher.start()
        try:
            yield
        finally:
            watcher.stop()

    def _refresh(self) -> None:
        heard = self._collector.changes()
        if heard.anew:
            about = self._session.read(lambda opened: opened.content.about)
            vcenter = about.apiType == "VirtualCenter"
            self._picture = Picture(self._owner, self._manager, vcenter=vcenter, version=about.version)
        self._picture.take(heard.updates)
        migrations.complete(self._session, self._picture)
        shown = self._picture.estate().appliances
        if shown is not self._shown:
            self._shown = shown
            by_uuid = self._picture.index.by_uuid
            self._appliances = {
                by_uuid[each.instance]: key for key, each in shown.items() if each.instance in by_uuid
            }

    def _carry_out(self, batch: Sequence[EstateStep]) -> None:
        work = self._work
        match batch[0]:
            case MakeSwitch() as step:
                switches.make_switch(work, step)
            case DropSwitch() as step:
                switches.drop_switch(work, step)
            case MakeGroup():
                portgroups.make_groups(work, cast("Sequence[MakeGroup]", batch))
            case DropGroup():
                portgroups.drop_groups(work, cast("Sequence[DropGroup]", batch))
            case Plugin():
                plugging.plug(work, cast("Sequence[Plugin]", batch))
            case Giveback():
                plugging.give_back(work, cast("Sequence[Giveback]", batch))
            case Deploy():
                appliances.deploy(work, cast("Sequence[Deploy]", batch))
            case Pin():
                appliances.pin(work, cast("Sequence[Pin]", batch))
            case Start() as step:
                appliances.start(work, step)
            case Remove() as step:
                appliances.remove(work, step)
            case Fence() as step:
                appliances.fence(work, step)


def batches(steps: Iterable[EstateStep]) -> Iterator[list[EstateStep]]:
    """Steps that may be carried out together: of one kind, side by side, each about something else."""
    batch: dict[object, EstateStep] = {}
    kind: type[EstateStep] | None = None
    for step in steps:
        target = _target(step)
        if batch and (type(step) is not kind or target is None or batch.get(target, step) != step):
            yield list(batch.values())
            batch = {}
        kind = type(step)
        batch[target] = step
    if batch:
        yield list(batch.values())


def _target(step: EstateStep) -> object:
    """What a step is about; None for one that is carried out alone."""
    match step:
        case MakeGroup(group=group):
            return group.identity
        case DropGroup(switch=switch, name=name, host=host):
            return (switch, name, host)
        case Plugin(card=card) | Giveback(card=card):
            return card
        case Deploy(key=key) | Pin(key=key):
            return key
        case _:
            return None


if TYPE_CHECKING:
    _conforms: type[EstateDriver] = VsphereEstate
