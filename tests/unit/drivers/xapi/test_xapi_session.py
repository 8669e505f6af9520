# SPDX-License-Identifier: Apache-2.0
"""Logging in to a pool, staying so, and what is said when that fails."""

import pytest

from anyvisor.access.credentials import Login
from anyvisor.access.trust import trust
from anyvisor.drivers.xapi.endpoint import address_of
from anyvisor.drivers.xapi.session import Session
from anyvisor.errors import (
    ConflictError,
    ForeignObjectError,
    RetryableError,
    TerminalError,
    UnreachableError,
)
from anyvisor.testing.xapi.troubles import Trouble


def test_the_certificate_is_checked_before_anything_is_said(xapi, sessions):
    session = Session("pool1", xapi.url, trust(None), lambda: Login("u", "p"), timeout_seconds=20.0)

    with pytest.raises(TerminalError, match="certificate is not trusted"):
        session.read("host.get_all")

    assert xapi.calls == []


def test_a_pinned_certificate_is_believed_and_no_other(xapi, sessions):
    assert len(sessions(xapi, ca=xapi.certificate.thumbprint).read("host.get_all")) == 2
    xapi.calls.clear()

    with pytest.raises(TerminalError, match="another than the one in `ca`"):
        sessions(xapi, ca=f"sha256:{'00' * 32}").read("host.get_all")

    assert xapi.calls == []


def test_a_wrong_password_is_terminal_and_not_shown(xapi, sessions):
    with pytest.raises(TerminalError, match="user name or the password") as caught:
        sessions(xapi, password="wr0ng").read("host.get_all")

    assert "wr0ng" not in str(caught.value)


def test_a_host_that_is_no_master_sends_us_to_it(xapi, servers, sessions):
    slave = servers(slave_of=xapi.address)

    session = sessions(slave)

    assert len(session.read("host.get_all")) == 2
    assert xapi.sessions == 1
    assert slave.logins == []


def test_a_master_that_became_a_slave_is_left(xapi, servers, sessions):
    session = sessions(xapi)
    session.read("host.get_all")
    other = servers(xapi.pool)

    xapi.slave_of = other.address
    session.write("network.create", {"name_label": "n", "other_config": {}}, doing="making a network")

    assert other.writes == ["network.create"]


def test_hosts_that_send_each_other_round_are_given_up(xapi, sessions):
    xapi.slave_of = xapi.address

    with pytest.raises(UnreachableError, match="no host of the pool says that it is the master"):
        sessions(xapi).read("host.get_all")


def test_when_the_master_is_gone_the_other_hosts_are_asked(xapi, servers, sessions):
    session = sessions(xapi)
    session.read("host.get_all")
    other = servers(xapi.pool)
    session.know(["127.0.0.1:9", other.address])

    xapi.close()
    xapi.close = lambda: None

    assert len(session.read("host.get_all")) == 2
    assert len(other.logins) == 1


def test_a_session_that_ended_is_made_anew_and_nothing_is_done_twice(xapi, sessions):
    session = sessions(xapi)
    session.read("host.get_all")

    xapi.end_sessions()
    session.write("network.create", {"name_label": "n", "other_config": {}}, doing="making a network")

    assert len(xapi.logins) == 2
    assert session.generation == 2
    assert len(xapi.pool.records.where("network", name_label="n")) == 1


def test_the_client_keeps_no_password(xapi, sessions):
    session = sessions(xapi)
    session.read("host.get_all")

    assert session._client.last_login_params is None


@pytest.mark.parametrize(("kind", "made"), [("cut-before", 0), ("cut-after", 1)])
def test_a_write_whose_answer_was_lost_is_not_sent_again(xapi, sessions, kind, made):
    session = sessions(xapi)
    session.read("host.get_all")
    xapi.troubles.add(Trouble(kind=kind, method="network.create"))

    with pytest.raises(UnreachableError, match="making a network"):
        session.write("network.create", {"name_label": "n", "other_config": {}}, doing="making a network")

    assert len(xapi.pool.records.where("network", name_label="n")) == made
    assert xapi.writes == ["network.create"]


def test_a_question_whose_answer_was_lost_is_asked_again(xapi, sessions):
    session = sessions(xapi)
    session.read("host.get_all")
    xapi.troubles.add(Trouble(kind="cut-after", method="host.get_all"))

    assert len(session.read("host.get_all")) == 2


def test_a_late_answer_is_not_waited_for(xapi, sessions):
    session = sessions(xapi, timeout=0.3)
    session.read("host.get_all")
    xapi.troubles.add(Trouble(kind="late", seconds=1.0, method="host.get_all"))

    with pytest.raises(UnreachableError, match="no answer in time"):
        session.read("host.get_all")
    assert len(session.read("host.get_all")) == 2


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("OTHER_OPERATION_IN_PROGRESS", RetryableError),
        ("HOST_OFFLINE", RetryableError),
        ("SOMETHING_NEW", RetryableError),
        ("MAP_DUPLICATE_KEY", ConflictError),
        ("HANDLE_INVALID", ConflictError),
        ("RBAC_PERMISSION_DENIED", TerminalError),
        ("LICENCE_RESTRICTION", TerminalError),
        ("PIF_VLAN_EXISTS", ForeignObjectError),
        ("BRIDGE_NAME_EXISTS", ForeignObjectError),
        ("HOST_STILL_BOOTING", UnreachableError),
    ],
)
def test_a_refusal_is_named_by_what_can_be_done(xapi, sessions, code, kind):
    xapi.troubles.add(Trouble(kind="refuse", method="network.create", code=(code, "x")))

    with pytest.raises(kind, match=rf"making a network.*\({code}, x\)") as caught:
        sessions(xapi).write("network.create", {}, doing="making a network")

    assert type(caught.value) is kind


def test_who_logs_out_leaves_no_session(xapi, sessions):
    session = sessions(xapi)
    session.read("host.get_all")

    session.close()
    session.close()

    assert xapi.sessions == 0


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://pool.example", "pool.example"),
        ("pool:8443", "pool:8443"),
        ("https://[fd00::1]/", "[fd00::1]"),
    ],
)
def test_an_address_may_be_written_in_several_ways(url, address):
    assert address_of(url) == address


@pytest.mark.parametrize("url", ["http://pool", "https://pool/sdk", "https://pool:x", "https://root@pool"])
def test_what_is_no_address_of_a_pool_is_refused(url):
    with pytest.raises(TerminalError, match="pool"):
        Session("pool1", url, None, None, timeout_seconds=1.0)
