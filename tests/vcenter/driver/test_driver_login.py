# SPDX-License-Identifier: Apache-2.0
"""Logging in, whom to trust, and what happens when vCenter is slow, gone, or has forgotten us."""

import hashlib
import ssl
import time
from contextlib import suppress
from dataclasses import replace

import pytest

from anyvisor.drivers.vsphere.estate import VsphereEstate
from anyvisor.errors import RetryableError, TerminalError, UnreachableError
from anyvisor.lab.vcenter.client import Fault
from anyvisor.model.kinds import Scheme, SwitchKind
from anyvisor.model.names import HostName
from anyvisor.planner.facts.table import verdict


def thumbprint(running):
    text = running.place.certificate.read_text(encoding="utf-8")
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(text)).hexdigest()


def test_a_certificate_is_believed_by_its_authority_or_by_its_thumbprint(connect, manager, running):
    colons = ":".join(thumbprint(running)[i : i + 2] for i in range(0, 64, 2)).upper()

    for ca in (manager.ca, f"sha256:{thumbprint(running)}", f"sha256:{colons}"):
        assert HostName("esx1") in connect(of=replace(manager, ca=ca)).estate().hosts


def test_an_unknown_certificate_is_refused_before_the_password_is_told(manager, running):
    for ca, said in ((None, "not trusted"), ("sha256:" + "0" * 64, "another than the one")):
        with pytest.raises(TerminalError, match=said):
            VsphereEstate.connect(replace(manager, ca=ca), "owner")

    login = running.control.inject(Fault(method="Login", delay_seconds=0.01, count=-1))
    with pytest.raises(TerminalError):
        VsphereEstate.connect(replace(manager, ca="sha256:" + "0" * 64), "owner")
    assert running.control.struck(login) == 0


def test_every_connection_is_checked_not_the_first_alone(connect, manager, running):
    estate = connect(of=replace(manager, ca=f"sha256:{thumbprint(running)}"))
    endpoint = estate._session._endpoint
    context = endpoint.trust.context

    stubs = [endpoint.stub() for _ in range(2)]
    for stub in stubs:
        connection = stub.GetConnection()
        connection.close()
        assert type(connection).__name__ == "_PinnedConnection"
    assert context.verify_mode is ssl.CERT_NONE, "the thumbprint is what is checked"


def test_a_wrong_password_is_said_and_not_tried_again(start, running, data_center, manager, monkeypatch):
    running.stop()
    monkeypatch.setenv("VCENTER_PASSWORD", "other")
    vcenter = start(data_center, user="admin", password_variable="VCENTER_PASSWORD")
    there = replace(manager, url=vcenter.url)

    with pytest.raises(TerminalError, match="user name or the password") as refused:
        VsphereEstate.connect(there, "owner")

    assert "secret" not in str(refused.value)


def test_credentials_come_from_the_environment_too(connect, manager, monkeypatch):
    monkeypatch.setenv("VC1_LOGIN", "admin:secret")

    assert connect(of=replace(manager, credentials="env:VC1_LOGIN")).estate().hosts


def test_nobody_there_is_unreachable(manager):
    with pytest.raises(UnreachableError, match="no connection"):
        VsphereEstate.connect(replace(manager, url="https://127.0.0.1:1/sdk"), "owner")


@pytest.mark.parametrize(
    "url", ["", "http://vc.example/sdk", "https://user:password@vc.example/sdk", "https://"]
)
def test_an_address_that_is_none_is_refused(manager, url):
    with pytest.raises(TerminalError, match="address"):
        VsphereEstate.connect(replace(manager, url=url), "owner")


def test_a_frozen_vcenter_is_unreachable_after_a_time(connect, running, steps):
    estate = connect(answer_seconds=0.5)
    running.control.freeze()

    for order in (estate.estate, lambda: estate.apply([steps.switch()]), estate.missing_rights):
        began = time.monotonic()
        with pytest.raises(UnreachableError, match="no answer in time"):
            order()
        assert time.monotonic() - began < 5

    running.control.thaw()
    estate.apply([steps.switch()])
    assert steps.inner in estate.estate().switches


def test_a_session_that_ended_is_made_anew_without_a_word(estate, running, steps):
    for _ in range(2):
        running.control.drop_sessions()
        estate.apply([steps.switch(), steps.group("x", 5)])
        assert (steps.inner, "av-8f3a01c2-x") in estate.estate().groups
    running.control.drop_sessions()

    assert estate.missing_rights() == ()


def test_a_session_that_ended_during_a_change_costs_nothing(estate, running, steps):
    running.control.inject(Fault(method="AddDVPortgroup_Task", fault="NotAuthenticated"))

    estate.apply([steps.switch(), steps.group("x", 5)])

    assert set(estate.estate().groups) == {(steps.inner, "av-8f3a01c2-x")}


def test_a_vcenter_that_restarted_is_read_anew(estate, running, start, manager, steps, machines):
    estate.apply([steps.switch(), steps.group("x", 5), steps.plug(machines.card("web"), "x")])
    before = estate.estate()
    port = running.url.rsplit(":", 1)[1].split("/")[0]

    running.kill()
    with pytest.raises(UnreachableError):
        estate.estate()
    start(listen=f"127.0.0.1:{port}")

    after = estate.estate()
    assert dict(after.cards) == dict(before.cards)
    assert (dict(after.groups), dict(after.switches)) == (dict(before.groups), dict(before.switches))
    assert dict(after.hosts) == dict(before.hosts)


@pytest.mark.parametrize(
    "method", ["WaitForUpdatesEx", "CreateContainerView", "CreateFilter", "QueryAssignedLicenses"]
)
@pytest.mark.parametrize("fault", [{"fault": "cut"}, {"http": 503}, {"fault": "RequestCanceled"}])
def test_a_look_that_failed_leaves_nothing_half_known(connect, running, steps, method, fault):
    estate = connect()
    before = dict(estate.estate().cards)
    running.control.drop_sessions()  # everything is read anew
    running.control.vm("web", power="dies")
    running.control.inject(Fault(method=method, count=2, **fault))

    for _ in range(3):
        with suppress(RetryableError):
            estate.estate()
    running.control.clear_faults()
    cards = estate.estate().cards

    assert set(cards) == set(before)
    assert [card.vm for card in cards.values() if not card.running] == ["web"]


def test_a_lone_host_with_the_free_licence_lets_nothing_be_changed(elsewhere, world, steps):
    estate = elsewhere(world.esxi(edition="free", name="lone"))
    esx = HostName("esx")

    assert estate.estate().hosts[esx].facts["vcenter"] is False
    assert estate.estate().hosts[esx].facts["edition"] == "free"
    assert estate.estate().hosts[esx].facts["vds_license"] is False
    with pytest.raises(TerminalError, match="licence"):
        estate.apply([steps.switch(esx, kind=SwitchKind.VSS, name=steps.own)])


def test_a_host_with_the_free_licence_is_read_refused_and_planned_for_nothing(elsewhere, world, steps):
    estate = elsewhere(world.esxi(name="free", edition="free"))
    (host,) = estate.estate().hosts.values()
    assert (host.facts["edition"], host.facts["vds_license"], host.facts["vcenter"]) == ("free", False, False)
    for scheme in (Scheme.SEPARATION, Scheme.APPLIANCE, Scheme.VENDOR):
        assert verdict(host, scheme).code == "ESXI_FREE_API_READ_ONLY"

    with pytest.raises(TerminalError, match="licence"):
        estate.apply([steps.switch(host.name, kind=SwitchKind.VSS, name=steps.own)])

    assert estate.estate().switches == {}
