# SPDX-License-Identifier: Apache-2.0
"""What is ours is known by its name or its description, and says what it is for."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyvisor.drivers.vsphere import names
from anyvisor.errors import TerminalError
from anyvisor.planner.inner import group_name

OWNER = "8f3a01c2-5f0e-4d7e-9a51-2f6f2f4f9d11"
OTHER = "9f3a01c2-5f0e-4d7e-9a51-2f6f2f4f9d11"

words = st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=20)
site_names = st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=63)
keys = st.one_of(
    st.builds("{}/{}".format, st.sampled_from(["port", "network", "trunk", "odd"]), words),
    st.sampled_from(["trunk", "parking", "switch"]),
)


@given(words, keys)
def test_a_standard_group_says_its_name_and_its_key(name, key):
    native = names.standard_group(OWNER, name, key)

    assert names.read_standard_group(OWNER, native) == (name, key)
    assert names.read_standard_group(OTHER, native) is None


@given(site_names, st.sampled_from(["port", "network"]))
def test_every_name_of_a_site_fits_where_the_planner_names_the_group(name, kind):
    planned = group_name(OWNER, name)

    native = names.standard_group(OWNER, planned, f"{kind}/{name}")

    assert names.read_standard_group(OWNER, native) == (planned, f"{kind}/{name}")


@given(keys, keys)
def test_two_groups_with_two_keys_have_two_names(one, other):
    same = names.standard_group(OWNER, "g", one) == names.standard_group(OWNER, "g", other)

    assert same == (one == other)


@given(
    st.one_of(words.filter(lambda word: len(word) <= 18), st.just("av-8f3a01c2"), st.just("av-8f3a01c2-x"))
)
def test_a_standard_switch_says_its_name(name):
    native = names.standard_switch(OWNER, name)

    assert names.read_standard_switch(OWNER, native) == name
    assert names.read_standard_switch(OTHER, native) is None


@given(words)
def test_what_somebody_else_named_is_not_ours(name):
    assert names.read_standard_group(OWNER, name) is None
    assert names.read_standard_switch(OWNER, name) is None


@given(site_names, words, keys)
def test_no_name_on_a_standard_switch_is_one_on_a_distributed_switch(what, name, key):
    assert names.standard_group(OWNER, name, key) != group_name(OWNER, what)


@pytest.mark.parametrize(
    "native",
    [
        "av-8f3a01c2-",
        "av-8f3a01c2-q=x",
        "av-8f3a01c2-p=",
        "av-8f3a01c2-p",
        "av-8f3a01c2-trunk=x",
        "av-8f3a01c2",
    ],
)
def test_what_only_looks_like_ours_is_not(native):
    assert names.read_standard_group(OWNER, native) is None


def test_what_does_not_fit_is_refused():
    with pytest.raises(TerminalError, match="does not fit"):
        names.standard_group(OWNER, "n" * 60, "port/" + "p" * 60)
    with pytest.raises(TerminalError, match="does not fit"):
        names.standard_group(OWNER, "g", "port/a=b")
    with pytest.raises(TerminalError, match="1 to 19 characters"):
        names.standard_switch(OWNER, "a-name-that-is-too-long")


@given(keys, st.text())
def test_a_description_says_the_key_and_people_may_add_to_it(key, note):
    description = f"{names.mark(OWNER, key)}\n{note}"

    assert names.marked_key(OWNER, description) == key
    assert names.marked_key(OTHER, description) is None


@pytest.mark.parametrize("description", [None, "", "a switch", "anyvisor:", f"not anyvisor:{OWNER}:x"])
def test_other_descriptions_are_not_ours(description):
    assert names.marked_key(OWNER, description) is None
