# SPDX-License-Identifier: Apache-2.0
"""A pool of two hosts that is none, its driver, and the little world around them."""

import pytest

from anyvisor.access.credentials import Login
from anyvisor.access.trust import trust
from anyvisor.drivers.xapi.estate import Patience, XapiEstate
from anyvisor.drivers.xapi.session import Session
from anyvisor.model.site import Manager
from anyvisor.testing.nsx.certificate import made
from anyvisor.testing.xapi.pool import Pool
from anyvisor.testing.xapi.server import PASSWORD, USER, FakeXapi

OWNER = "8f3a01c2-owner"


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    return made(tmp_path_factory.mktemp("xapi"))


@pytest.fixture
def servers(tmp_path, certificate):
    """Makes as many as a test needs."""
    open_servers = []

    def make(pool=None, **options):
        server = FakeXapi(tmp_path, pool, certificate=certificate, **options)
        open_servers.append(server)
        return server

    yield make
    for server in open_servers:
        server.close()


@pytest.fixture
def pool():
    """Two hosts with two cards each; the guests' VMs are on the second card's network."""
    pool = Pool()
    for name in ("xen1", "xen2"):
        pool.add_host(name, "eth0", "eth1")
    guests = pool.network("", "xenbr1")
    pool.records.change("network", guests, name_label="guests")
    for vm, host in (("vm1", "xen1"), ("vm2", "xen2")):
        pool.add_vm(vm, pool.named("host", host), guests)
    return pool


@pytest.fixture
def xapi(servers, pool):
    return servers(pool)


@pytest.fixture
def manager(xapi, tmp_path):
    return described(xapi, tmp_path)


@pytest.fixture
def manage(tmp_path):
    """The manager of another server."""
    return lambda xapi: described(xapi, tmp_path)


def described(xapi, folder):
    secret = folder / "secret"
    if not secret.exists():
        secret.touch(mode=0o600)
        secret.write_text(f"{USER}:{PASSWORD}")
    return Manager(
        name="pool1",
        driver="xapi",
        url=xapi.url,
        credentials=f"file:{secret}",
        ca=str(xapi.certificate.certificate),
    )


@pytest.fixture
def driver(manager):
    driver = XapiEstate.connect(manager, OWNER, patience=Patience(answer_seconds=20.0, news_seconds=1.0))
    yield driver
    driver.close()


@pytest.fixture
def sessions():
    """Makes sessions."""
    opened = []

    def make(xapi, *, user=USER, password=PASSWORD, ca=None, timeout=20.0):
        trusted = trust(ca or str(xapi.certificate.certificate))
        made = Session("pool1", xapi.url, trusted, lambda: Login(user, password), timeout_seconds=timeout)
        opened.append(made)
        return made

    yield make
    for session in opened:
        session.close()
