# SPDX-License-Identifier: Apache-2.0
"""Sessions, certificates, pages and time-outs, and what the answers of NSX mean."""

from __future__ import annotations

import socket
import time

import pytest

from anyvisor.drivers.nsx import faults
from anyvisor.drivers.nsx.entity import Patience
from anyvisor.errors import ConflictError, RetryableError, TerminalError, UnreachableError
from anyvisor.testing.nsx import Trouble
from anyvisor.testing.nsx.samples import network, web, wish
from anyvisor.testing.nsx.server import PASSWORD, USER


def test_a_certificate_is_believed_by_its_authority_or_by_its_thumbprint(nsx, connect):
    for ca in (str(nsx.certificate.certificate), nsx.certificate.thumbprint):
        assert connect(ca=ca).places() == {}


@pytest.mark.parametrize("ca", [None, "sha256:" + "0" * 64])
def test_nothing_is_sent_to_somebody_whose_certificate_is_another(nsx, connect, ca):
    with pytest.raises(TerminalError, match="its certificate"):
        connect(ca=ca)
    assert nsx.requests == []
    assert nsx.logins == []


def test_the_thumbprint_is_checked_on_every_connection(nsx, connect):
    driver = connect(ca=nsx.certificate.thumbprint)
    driver._client._pool.clear()
    driver._client._pool.connection_pool_kw["assert_fingerprint"] = "1" * 64

    seen = len(nsx.requests)
    with pytest.raises(TerminalError, match="another than the one"):
        driver.places()
    assert len(nsx.requests) == seen


def test_one_login_serves_many_requests_and_ends_with_the_driver(nsx, connect):
    driver = connect()
    driver.plan(web())
    driver.places()
    assert nsx.logins == [(USER, PASSWORD)]
    assert nsx.sessions == 1

    driver.close()
    driver.close()
    assert nsx.sessions == 0


def test_a_session_that_ended_is_opened_anew_also_in_the_middle_of_a_write(nsx, driver):
    plan = driver.plan(web())
    nsx.end_sessions()
    driver.apply(plan)

    assert driver.plan(web()).changes == ()
    assert len(nsx.logins) == 2


def test_a_wrong_password_is_said_once_and_not_tried_again(nsx, connect, monkeypatch):
    monkeypatch.setenv("NSX1", f"{USER}:wrong")
    with pytest.raises(TerminalError, match="does not accept the user name or the password"):
        connect()
    assert len(nsx.logins) == 1


def test_no_password_stands_in_an_error(nsx, connect):
    nsx.troubles.add(Trouble(kind="broken", path="session"))
    with pytest.raises(RetryableError) as caught:
        connect()
    assert PASSWORD not in str(caught.value)


def test_a_missing_right_is_named(nsx, driver):
    nsx.troubles.add(Trouble(kind="forbidden", path="segments", times=2))
    with pytest.raises(TerminalError, match="reading /infra/segments: the account lacks the right") as caught:
        driver.places()
    assert "Segments" in caught.value.hint


@pytest.mark.parametrize(("kind", "error"), [("busy", RetryableError), ("unavailable", RetryableError)])
def test_the_delay_that_nsx_asks_for_is_passed_on(nsx, driver, kind, error):
    nsx.troubles.add(Trouble(kind=kind, seconds=7))
    with pytest.raises(error, match="NSX is busy") as caught:
        driver.places()
    assert caught.value.after == 7.0


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("0", 0, 0),
        ("1e9", 600, 600),
        ("-5", 0, 0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
        ("soon", None, None),
        ("nan", None, None),
    ],
)
def test_a_delay_is_read_whatever_its_form(text, least, most):
    after = faults.of_answer("nsx1", 503, {"Retry-After": text}, b"").after
    assert after is None if least is None else least <= after <= most


def test_a_refusal_says_what_nsx_said(driver):
    data = b'{"error_code": 500012, "error_message": "The value is odd.", "related_errors": [{"error_message": "Very."}]}'
    error = faults.of_answer("nsx1: writing", 400, {}, data)

    assert type(error) is TerminalError
    assert str(error) == "nsx1: writing: NSX refuses it, status 400: The value is odd; Very (error 500012)"


@pytest.mark.parametrize(
    ("status", "data", "kind"),
    [
        (412, b"", ConflictError),
        (409, b"not json", ConflictError),
        (404, b"[]", ConflictError),
        (400, b'{"error_code": 500087}', ConflictError),
        (400, b'{"error_code": 500045}', RetryableError),
        (400, b'{"error_code": 500030}', faults.InUseError),
        (400, b'{"error_code": 1, "related_errors": [{"error_code": 503040}]}', faults.InUseError),
        (403, b'{"error_code": 505}', TerminalError),
        (500, b"", RetryableError),
        (302, b"", TerminalError),
    ],
)
def test_each_answer_has_its_error(status, data, kind):
    assert type(faults.of_answer("nsx1", status, {}, data)) is kind


def test_one_who_does_not_answer_is_waited_for_no_longer_than_said(nsx, connect):
    driver = connect(patience=Patience(answer_seconds=0.3))
    nsx.troubles.add(Trouble(kind="slow", seconds=3))
    begun = time.monotonic()
    with pytest.raises(UnreachableError, match="no answer in time"):
        driver.places()
    assert time.monotonic() - begun < 2.5


@pytest.mark.parametrize("kind", ["cut-before", "cut-after"])
def test_a_lost_connection_is_no_conclusion(nsx, driver, kind):
    nsx.troubles.add(Trouble(kind=kind))
    with pytest.raises(UnreachableError, match="reading /infra/segments"):
        driver.places()
    assert driver.places() == {}


def test_nobody_at_the_address_is_unreachable(connect):
    with socket.socket() as free:  # bound, but nobody listens
        free.bind(("127.0.0.1", 0))
        with pytest.raises(UnreachableError, match="no connection"):
            connect(url=f"https://127.0.0.1:{free.getsockname()[1]}")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1", "https://u:p@127.0.0.1", "https://", "https://127.0.0.1:port"]
)
def test_a_bad_address_is_refused_before_anything_is_sent(connect, url):
    with pytest.raises(TerminalError):
        connect(url=url)


@pytest.mark.parametrize(
    ("zone", "said"),
    [("nowhere", "there is none"), ("tz-overlay", "is not for VLANs"), ("tz-vlans", "name its path")],
)
def test_a_transport_zone_that_does_not_serve_is_named(nsx, connect, zone, said):
    objects = nsx.intent.objects
    path = next(path for path, each in objects.items() if each.get("display_name") == "tz-vlans")
    objects[f"{path}2"] = {**objects[path], "id": "vlans2", "path": f"{path}2"}
    with pytest.raises(TerminalError, match=said):
        connect(transport_zone=zone)
    assert connect(transport_zone=path).places() == {}
    assert nsx.sessions == 1


@pytest.mark.parametrize("page", [1, 3, 7, 8])
def test_lists_are_read_to_their_last_page_and_no_further(nsx, driver, page):
    wanted = wish([network(f"n{number}", number) for number in range(1, 8)])
    driver.apply(driver.plan(wanted))
    nsx.page = page
    nsx.requests.clear()

    assert len(driver.places()) == 7
    assert len(nsx.requests) == -(-7 // page)
    assert driver.plan(wanted).changes == ()
