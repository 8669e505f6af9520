# SPDX-License-Identifier: Apache-2.0
"""What captures on a card's ports prove."""

import pytest

from anyvisor.lab import card_leak
from anyvisor.lab.capture import Sighting
from anyvisor.lab.card_leak import CardGround
from anyvisor.lab.frame import Kind
from anyvisor.lab.leak import Sent

GROUND = CardGround(
    networks={"a": "blue", "b": "blue", "c": "red", "far": "blue"},
    representors={name: ("dpu", f"pf0vf{n}") for n, name in enumerate("abc")},
    hosts=frozenset({"kvm2"}),
)


def sent(sender="a", victim="b", kind=Kind.UNICAST):
    return Sent(token=1, kind=kind, sender=sender, victim=victim)


def seen(*ways):
    """``a<`` came in by the representor of a, ``>b`` went out by that of b, ``b`` was heard in b, else PART:CARD."""
    found = []
    for way in ways:
        if way.endswith("<"):
            part, card, outgoing = *GROUND.representors[way[:-1]], False
        elif way.startswith(">"):
            part, card, outgoing = *GROUND.representors[way[1:]], True
        elif ":" in way:
            (part, card), outgoing = way.split(":"), True
        else:
            part, card, outgoing = way, "eth0", False
        found.append(Sighting(token=1, part=part, card=card, outgoing=outgoing))
    return found


def judged(one, *ways, ground=GROUND):
    return card_leak.judge([one], seen(*ways), ground)


def test_a_frame_from_function_to_function_is_as_it_should_be():
    verdict = judged(sent(), "a<", ">b", "b")

    assert (verdict.leaks, verdict.duplicates, verdict.losses) == ((), (), ())
    assert (verdict.heard, verdict.through) == (1, 1)


def test_a_frame_from_far_came_in_a_tunnel_and_goes_out_by_the_representor():
    assert judged(sent(sender="far"), ">b", "b").leaks == ()
    assert judged(sent(sender="a", victim="far"), "a<", "far").leaks == ()


@pytest.mark.parametrize(
    ("one", "ways", "said"),
    [
        (sent(), ("a<", ">c", "c", ">b", "b"), "heard at c, which it is not for"),
        (sent(), (">b", "b"), "never came in by its sender's representor"),
        (sent(), ("a<", "b"), "not as often sent to its representor"),
        (sent(), ("a<", ">b", "b", "dpu:p0"), "left by p0 of dpu"),
        (sent(), ("a<", ">b", "b", "dpu:pf0hpf"), "left by pf0hpf of dpu"),
        (sent(), ("a<", ">b", "b", "kvm2:eth0"), "left by eth0 of kvm2"),
    ],
)
def test_every_way_past_the_switch_is_named(one, ways, said):
    (leak,) = judged(one, *ways).leaks

    assert said in leak


def test_what_is_heard_twice_or_not_at_all_is_said():
    assert judged(sent(), "a<", ">b", ">b", "b", "b").duplicates
    assert judged(sent(), "a<").losses == ("frame 1 (unicast, a at b) did not reach b",)


def test_of_those_that_are_cut_off_nothing_is_missed_but_a_leak_is_a_leak():
    cut = CardGround(
        networks=GROUND.networks, representors=GROUND.representors, unsteady=frozenset({"a", "b"})
    )

    assert judged(sent(), ground=cut).losses == ()
    assert judged(sent(), "a<", ">c", "c", ground=cut).leaks
