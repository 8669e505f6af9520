# SPDX-License-Identifier: Apache-2.0
"""What a picture needs besides the changes that are reported: licences, and where a migration under way leads."""

from __future__ import annotations

import logging
from typing import Any

from anyvisor.drivers.vsphere import cards, hosts
from anyvisor.drivers.vsphere.api import vim
from anyvisor.drivers.vsphere.collector import properties
from anyvisor.drivers.vsphere.hosts import key_of
from anyvisor.drivers.vsphere.picture import Picture
from anyvisor.drivers.vsphere.records import Licence, TaskRecord
from anyvisor.drivers.vsphere.session import Open, Session
from anyvisor.errors import TerminalError

log = logging.getLogger(__name__)

_DEPARTURES = (
    vim.event.VmBeingMigratedEvent,
    vim.event.VmBeingHotMigratedEvent,
    vim.event.VmBeingRelocatedEvent,
)
_EVENTS_AT_MOST = 10


def complete(session: Session, picture: Picture) -> None:
    """Ask for what is missing. A right that we lack for it leaves it unknown."""
    unlicensed = picture.unlicensed()
    if unlicensed:
        told = _or_nothing(session, "reading licences", _licences)
        picture.learn({host: told.get(host, told.get("", Licence())) for host in unlicensed}, {})
    for vm, task in picture.undirected():
        host = _or_nothing(
            session, "reading events", lambda opened, vm=vm, task=task: _leads_to(opened, vm, task)
        )
        if host:
            picture.learn({}, {task.key: host})


def _or_nothing(session: Session, doing: str, question: Any) -> Any:
    try:
        return session.read(question, doing)
    except TerminalError as error:
        log.info("%s", error)
        return {}


def _licences(opened: Open) -> dict[str, Licence]:
    """By host; under ``""`` the one of a lone host."""
    content = opened.content
    key = str(key_of(content.licenseManager))
    paths = ("licenseAssignmentManager", "licenses")
    found = properties(opened, vim.LicenseManager, [key], paths).get(key, {})
    manager = found.get("licenseAssignmentManager")
    if manager is not None:
        return {
            each.entityId: hosts.licence(each.assignedLicense)
            for each in manager.QueryAssignedLicenses() or ()
        }
    own = [hosts.licence(info) for info in found.get("licenses") or ()]
    return {"": own[0]} if own else {}


def _leads_to(opened: Open, vm: str, task: TaskRecord) -> str | None:
    spec = vim.event.EventFilterSpec(
        entity=vim.event.EventFilterSpec.ByEntity(
            entity=opened.object(vim.VirtualMachine, vm), recursion="self"
        ),
        type=list(_DEPARTURES),
        maxCount=_EVENTS_AT_MOST,
    )
    return cards.destination(opened.content.eventManager.QueryEvents(spec) or (), task)
