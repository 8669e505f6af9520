# SPDX-License-Identifier: Apache-2.0
"""Probes that must not be fragmented, against the kernel: two namespaces and a cable whose far end may be too small."""

import time

import pytest

from anyvisor.errors import RetryableError
from anyvisor.model.names import HostName
from anyvisor.netlink.echo import Echo, device_mtu
from anyvisor.planner.underlay import Question
from anyvisor.reconcile.underlay import ANSWER_SECONDS, ATTEMPTS, Underlay
from anyvisor.testing.namespace import inside, ip, namespace

pytestmark = pytest.mark.lab

ADDRESSES = {4: ("192.0.2.1", "192.0.2.2", 24), 6: ("2001:db8::1", "2001:db8::2", 64)}
WAIT_SECONDS = 10.0


@pytest.fixture(params=[4, 6])
def cable(request):
    """The namespaces of both ends, and their addresses. Both devices have an MTU of 1700."""
    mine, theirs, prefix = ADDRESSES[request.param]
    with namespace() as here, namespace() as there:
        ip(
            "link",
            "add",
            "near0",
            "netns",
            here,
            "mtu",
            "1700",
            "type",
            "veth",
            "peer",
            "name",
            "far0",
            "netns",
            there,
        )
        ip("-n", there, "link", "set", "far0", "mtu", "1700")
        more = ("nodad",) if request.param == 6 else ()
        for where, device, address in ((here, "near0", mine), (there, "far0", theirs)):
            ip("-n", where, "addr", "add", f"{address}/{prefix}", "dev", device, *more)
            ip("-n", where, "link", "set", device, "up")
        # A link that has just come up may lose its first frames: the kernel hangs in its queue a moment later.
        with inside(here):
            deadline = time.monotonic() + WAIT_SECONDS
            while not Echo().answered(mine, {theirs: {1280}}, 0.5)[theirs]:
                assert time.monotonic() < deadline, "the cable does not carry anything"
        yield here, there, mine, theirs


def answered(source, sizes):
    """What passes, with the patience of the agent: a size counts as too large after it was lost that many times."""
    echo = Echo()
    rounds = [echo.answered(source, sizes, ANSWER_SECONDS) for _ in range(ATTEMPTS)]
    return {address: frozenset().union(*(each[address] for each in rounds)) for address in sizes}


def test_every_size_that_fits_is_answered(cable):
    here, _, mine, theirs = cable
    sizes = {68 if "." in mine else 1280, 1400, 1558, 1700}

    with inside(here):
        seen = Echo().answered(mine, {theirs: sizes}, WAIT_SECONDS)

    assert seen == {theirs: sizes}


def test_what_the_sender_does_not_know_to_be_too_large_is_found_out(cable):
    """The far end drops what is larger; a tag's four bytes more still pass a virtual cable."""
    here, there, mine, theirs = cable
    ip("-n", there, "link", "set", "far0", "mtu", "1400")

    with inside(here):
        seen = answered(mine, {theirs: {1280, 1400, 1405, 1558}})

    assert seen == {theirs: {1280, 1400}}


def test_a_local_device_that_is_too_small_is_no_error(cable):
    here, _, mine, theirs = cable
    ip("-n", here, "link", "set", "near0", "mtu", "1450")

    with inside(here):
        assert device_mtu("near0") == 1450
        assert device_mtu("none") is None
        seen = answered(mine, {theirs: {1450, 1558}})

    assert seen == {theirs: {1450}}


def test_an_address_that_is_not_there_is_said(cable):
    here, _, _, theirs = cable

    with inside(here), pytest.raises(RetryableError, match="no probes from"):
        Echo().answered("198.51.100.1" if "." in theirs else "2001:db8:9::1", {theirs: {100}}, 1.0)


def test_the_condition_turns_false_with_the_right_numbers_and_true_again(cable):
    here, there, mine, theirs = cable
    question = Question(host=HostName("kvm1"), source=mine, size=1558, peers={HostName("kvm2"): theirs})
    watch = Underlay(Echo(), every_seconds=300, clock=lambda: 0.0, answer_seconds=0.5)
    said = []

    with inside(here):
        for mtu in ("1700", "1404", "1700"):
            ip("-n", there, "link", "set", "far0", "mtu", mtu)
            watch.look(question)
            watch.step()
            said += watch.look(question)

    assert [condition.true for condition in said] == [True, False, True]
    # veth lets a frame pass that is longer by one VLAN tag (linux/if_vlan.h, is_skb_forwardable).
    assert "kvm2" in said[1].message
    assert "gets 1408" in said[1].message or "gets 1404" in said[1].message
