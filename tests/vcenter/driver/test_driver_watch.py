# SPDX-License-Identifier: Apache-2.0
"""Those who watch hear of the hosts that something changed on, also after vCenter was gone."""

import threading
import time
from contextlib import contextmanager

import pytest

from anyvisor.model.names import HostName

ESX1, ESX2 = HostName("esx1"), HostName("esx2")


class Ear:
    """Collects what is told."""

    def __init__(self):
        self.heard = []
        self._news = threading.Condition()

    def __call__(self, hosts):
        with self._news:
            self.heard.append((threading.current_thread(), hosts))
            self._news.notify_all()

    def forget(self):
        with self._news:
            self.heard.clear()

    def hosts(self):
        return set().union(*(hosts for _, hosts in self.heard))

    def hears(self, *hosts, seconds=10.0):
        with self._news:
            return self._news.wait_for(lambda: set(hosts) <= self.hosts(), seconds)


@pytest.fixture
def ear():
    return Ear()


@contextmanager
def watching(estate, ear):
    with estate.watch(ear):
        assert ear.hears(ESX1, ESX2), "one who begins hears of everything"
        time.sleep(0.1)
        ear.forget()
        yield


def test_a_change_of_a_vm_is_told_of_its_host_alone(estate, running, ear):
    with watching(estate, ear):
        running.control.vm("db", power="dies")
        assert ear.hears(ESX2)

    assert ear.hosts() == {ESX2}
    assert ear.heard[0][0] is not threading.current_thread()


def test_a_migration_is_told_of_both_hosts(estate, running, ear, machines):
    with watching(estate, ear):
        running.control.vm("web", move_to="esx2")
        assert ear.hears(ESX1, ESX2)


def test_a_card_that_somebody_plugs_elsewhere_is_told(estate, vc, ear):
    with watching(estate, ear):
        vc.plug(vc.vm("web"), vc.group("lab"))
        assert ear.hears(ESX1)


def test_a_host_that_goes_is_told(estate, running, ear):
    with watching(estate, ear):
        running.control.host("esx1", connection="lost")
        assert ear.hears(ESX1)


def test_a_changed_group_may_concern_every_host(estate, ear, steps):
    estate.apply([steps.switch()])
    with watching(estate, ear):
        estate.apply([steps.group("x", 5)])
        assert ear.hears(ESX1, ESX2)


def test_a_session_that_ends_does_not_end_the_watch(estate, running, ear):
    with watching(estate, ear):
        running.control.drop_sessions()
        assert ear.hears(ESX1, ESX2), "what happened meanwhile is not known"
        ear.forget()
        running.control.vm("db", power="dies")
        assert ear.hears(ESX2)


def test_a_vcenter_that_restarts_does_not_end_the_watch(estate, running, start, ear):
    port = running.url.rsplit(":", 1)[1].split("/")[0]
    with watching(estate, ear):
        running.kill()
        time.sleep(0.3)
        start(listen=f"127.0.0.1:{port}")
        assert ear.hears(ESX1, ESX2, seconds=20)


def test_nobody_is_told_anything_after_the_watch_ended(estate, running, ear):
    with watching(estate, ear):
        pass

    running.control.vm("db", power="dies")
    time.sleep(0.3)

    assert ear.heard == []
