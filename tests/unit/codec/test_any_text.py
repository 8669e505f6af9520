# SPDX-License-Identifier: Apache-2.0
"""Whatever stands in a site file, the answer is a site or a list of mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from anyvisor.codec.site import parse_site
from anyvisor.errors import InputError

EXAMPLE = (Path(__file__).parents[3] / "docs" / "examples" / "mixed.yaml").read_text(encoding="utf-8")
DOCUMENT = yaml.safe_load(EXAMPLE)

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(
        [
            "10.1.0.0/24",
            "10.1.0.11",
            "::/0",
            "0.0.0.0/0",
            "10.0.0.0/32",
            "web",
            "esx1",
            "any",
            "52:54:00:00:00:01",
            "80-90",
        ]
    )
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
)


def answered(text):
    try:
        return parse_site(text)
    except InputError as error:
        mistakes = error
    assert mistakes.faults
    assert all(str(fault).startswith("site.yaml") for fault in mistakes.faults)
    return mistakes


@given(st.text(max_size=80))
def test_any_text_is_answered(text):
    answered(text)


@given(st.integers(0, len(EXAMPLE)), st.integers(0, 12), st.text(max_size=4))
def test_a_file_that_was_cut_or_mistyped_somewhere_is_answered(start, length, inserted):
    answered(EXAMPLE[:start] + inserted + EXAMPLE[start + length :])


@given(st.data())
def test_a_value_of_the_wrong_kind_anywhere_is_answered(data):
    def changed(value):
        if isinstance(value, dict) and value:
            key = data.draw(st.sampled_from(sorted(value)))
            return {**value, key: changed(value[key])}
        if isinstance(value, list) and value:
            index = data.draw(st.integers(0, len(value) - 1))
            return [*value[:index], changed(value[index]), *value[index + 1 :]]
        return data.draw(values)

    answered(yaml.safe_dump(changed(DOCUMENT), allow_unicode=True))


@given(st.data())
def test_any_key_may_be_missing_or_stand_for_anything(data):
    section = data.draw(st.sampled_from(sorted(DOCUMENT)))

    answered(yaml.safe_dump({**DOCUMENT, section: data.draw(values)}, allow_unicode=True))


@pytest.mark.parametrize(
    "text",
    [
        "ports: &a [*a]",
        "&a {ports: *a}",
        "hosts: [&a {name: a, hypervisor: kvm, facts: *a}]",
        "a: &a {<<: *a}",
        "!!python/none x",
    ],
)
def test_a_document_that_holds_itself_or_strange_tags_is_answered(text):
    assert isinstance(answered(text), InputError)
