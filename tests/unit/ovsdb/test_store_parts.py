# SPDX-License-Identifier: Apache-2.0
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyvisor.model.parts import Part

steps = st.lists(
    st.tuples(st.sampled_from(["put", "remove", "snapshot"]), st.integers(0, 40), st.integers()), max_size=60
)


@given(steps)
def test_a_part_and_its_snapshots_are_what_dictionaries_would_be(steps):
    part, plain, snapshots = Part(), {}, []

    for do, key, value in steps:
        if do == "put":
            part.put(key, value)
            plain[key] = value
        elif do == "remove" and key in plain:
            part.remove(key)
            del plain[key]
        elif do == "snapshot":
            snapshots.append((part.snapshot(), dict(plain)))

    for found, wanted in [*snapshots, (part, plain)]:
        assert found == wanted
        assert dict(found) == wanted
        assert len(found) == len(wanted)
        assert set(found) == wanted.keys() == found.keys()
        assert dict(found.items()) == wanted
        assert sorted(found.values()) == sorted(wanted.values())


def test_a_snapshot_stays_the_same_object_while_nothing_changes():
    part = Part()
    part.put("a", 1)

    assert part.snapshot() is part.snapshot()


def test_what_is_not_there_is_an_error_to_ask_for_and_to_remove():
    part = Part()

    assert part.get("a") is None
    assert part.get("a", 7) == 7
    assert "a" not in part
    with pytest.raises(KeyError):
        part["a"]
    with pytest.raises(KeyError):
        part.remove("a")


def test_one_change_copies_a_small_part_of_what_there_is():
    part = Part()
    for number in range(10_000):
        part.put(number, number)
    before = part.snapshot()

    part.put(5, -5)

    shared = [new is old for new, old in zip(part.snapshot()._shards, before._shards, strict=True)]
    assert shared.count(False) == 1
