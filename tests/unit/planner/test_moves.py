# SPDX-License-Identifier: Apache-2.0
"""What is kept of a migration: when it began, was staged, arrived and was up; the last ten per port."""

from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from anyvisor.model.move import Move
from anyvisor.model.state import Placement, State
from anyvisor.planner.explain import in_words, move_to_json
from anyvisor.planner.moves import KEPT, Binding, followed, placed, under_way, with_move

HOSTS = ("esx1", "esx2", "esx3")


class Port:
    """One port as the database has it, told by a manager and by the controller."""

    def __init__(self, host="esx1"):
        self.state = State(placements={"vm1": Placement(host=host)})
        self.now = 1000

    def told(self, host, moving_to=None):
        place = Placement(host=host, moving_to=moving_to)
        news = {"vm1": place} if self.state.placements["vm1"] != place else {}
        moves = self.moves
        for (_, begun), move in placed(self.state, news, self.now).items():
            moves = with_move(moves, begun, move)
        self.state = replace(self.state, placements={"vm1": place}, moves={"vm1": moves})

    def bound(self, chassis, *also, up=True, plugged=False, native=False):
        move = under_way(self.moves)
        if move is not None:
            binding = Binding(chassis=chassis, also=frozenset(also), up=up)
            after = followed(move, binding, plugged=plugged, native=native, now_ms=self.now)
            self.state = replace(self.state, moves={"vm1": with_move(self.moves, move.begun, after)})

    @property
    def moves(self):
        return self.state.moves.get("vm1", ())


def test_a_staged_migration_has_all_its_times_and_no_outage():
    port = Port()
    port.told("esx1", "esx2")
    port.now += 120
    port.bound("esx1", "esx2")
    port.now += 900
    port.told("esx2")
    port.now += 40
    port.bound("esx1", "esx2")
    port.now += 10
    port.bound("esx2")

    (move,) = port.moves
    assert move.since_begun() == {"staged": 120, "arrived": 1020, "finalised": 1070}
    assert move.outage_ms == 0
    assert move_to_json(move) == {
        "from": "esx1", "to": "esx2", "begun": 1000, "staged_ms": 120, "arrived_ms": 1020, "finalised_ms": 1070,
        "returned_ms": None, "outage_ms": 0,
    }  # fmt: skip
    assert in_words(move) == (
        "1970-01-01 00:00:01 UTC esx1 → esx2: staged after 0.12 s; arrived after 1.02 s; finalised after 1.07 s; "
        "its port was not ready for 0.00 s"
    )


def test_each_of_several_appliances_of_a_host_counts_as_that_host():
    port = Port()
    port.told("esx1", "esx2")
    port.now += 120
    port.bound("esx1+2", "esx2+3")
    port.now += 900
    port.told("esx2")
    port.bound("esx1+2", "esx2+3")
    assert not port.moves[0].over
    port.now += 50
    port.bound("esx2+3")

    (move,) = port.moves
    assert move.since_begun() == {"staged": 120, "arrived": 1020, "finalised": 1070}


def test_one_that_nobody_announced_begins_with_its_arrival_and_has_an_outage():
    port = Port()
    port.told("esx2")
    port.now += 300
    port.bound("esx2", up=False)
    port.now += 200
    port.bound("esx2")

    (move,) = port.moves
    assert (move.arrived, move.staged, move.outage_ms) == (1000, None, 500)


def test_behind_a_native_switch_it_is_over_when_the_vnic_is_in_its_group():
    port = Port()
    port.told("esx1", "esx3")
    port.told("esx3")
    port.bound("kvm1", native=True)
    assert under_way(port.moves) is not None
    port.now += 70
    port.bound("kvm1", native=True, plugged=True)

    assert port.moves[0].outage_ms == 70


def test_one_that_fails_is_over_and_the_next_is_another():
    port = Port()
    port.told("esx1", "esx2")
    port.bound("esx1", "esx2")
    port.now += 500
    port.told("esx1")
    port.now += 500
    port.told("esx1", "esx3")
    port.now += 500
    port.told("esx1", "esx2")

    assert [(m.target, m.returned, m.over) for m in port.moves] == [
        ("esx2", 1500, True),
        ("esx3", 2500, True),
        ("esx2", None, False),
    ]
    assert port.moves[0].outage_ms is None


def test_where_a_vm_is_seen_first_nothing_has_moved():
    state = State()

    assert placed(state, {"vm1": Placement(host="esx1")}, 5) == {}


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["told", "bound"]),
            st.sampled_from(HOSTS),
            st.sampled_from([None, *HOSTS]),
            st.integers(0, 3),
        ),
        max_size=60,
    )
)
def test_whatever_happens_times_are_in_order_few_are_kept_and_only_the_newest_is_under_way(events):
    port = Port()
    for what, host, other, passed in events:
        port.now += passed
        before = {move.begun: move for move in port.moves}
        if what == "told":
            port.told(host, other)
        else:
            port.bound(host, *((other,) if other else ()))
        for move in port.moves:
            kept = before.get(move.begun)
            assert kept is None or all(
                getattr(kept, name) in {None, getattr(move, name)} for name in Move.__dataclass_fields__
            )

    assert len(port.moves) <= KEPT
    assert all(one.begun < two.begun for one, two in pairwise(port.moves))
    for move in port.moves:
        times = [t for t in (move.begun, move.arrived, move.finalised or move.returned) if t is not None]
        assert times == sorted(times)
        assert move.origin != move.target
    assert all(move.over or move.arrived is not None for move in port.moves[:-1])
