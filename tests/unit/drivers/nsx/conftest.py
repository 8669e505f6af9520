# SPDX-License-Identifier: Apache-2.0
"""A manager on loopback, and drivers connected to it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from anyvisor.drivers.nsx.entity import NsxEntity, Patience
from anyvisor.model.site import Manager
from anyvisor.testing.nsx import FakeNsx
from anyvisor.testing.nsx.certificate import made
from anyvisor.testing.nsx.server import PASSWORD, USER

OWNER = "0123abcd-4567-89ab-cdef-0123456789ab"


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    return made(tmp_path_factory.mktemp("nsx"))


@pytest.fixture
def nsx(certificate, tmp_path):
    manager = FakeNsx(tmp_path, certificate=certificate)
    yield manager
    manager.close()


@pytest.fixture
def manager(nsx, monkeypatch):
    monkeypatch.setenv("NSX1", f"{USER}:{PASSWORD}")
    return Manager(
        name="nsx1",
        driver="nsx",
        url=nsx.url,
        credentials="env:NSX1",
        ca=str(nsx.certificate.certificate),
        transport_zone="tz-vlans",
    )


@pytest.fixture
def connect(manager):
    drivers = []

    def connected(owner=OWNER, patience=None, **other):
        driver = NsxEntity.connect(
            replace(manager, **other), owner, patience=patience or Patience(answer_seconds=5)
        )
        drivers.append(driver)
        return driver

    yield connected
    for driver in drivers:
        driver.close()


@pytest.fixture
def driver(connect):
    return connect()
