# SPDX-License-Identifier: Apache-2.0
"""The JSON parser for `ovs`: any chunking, any value, and no harm from bad input."""

import json
import subprocess
import sys
from itertools import pairwise

import ovs.json
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyvisor.ovsdb.parser import Parser

text = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20
) | st.sampled_from(
    [
        "{",
        "}",
        "[",
        "]",
        '"',
        "\\",
        '\\"',
        '{"a": [',
        "\\\\",
        '"}',
        "\u2028",
        "\N{SNOWMAN}",
        "\U0001f600",
        "\\u0041",
    ]
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | text
    # Beyond 2**53 the parser of ovs makes an integer of a real, which is no longer equal to the nearest float.
    | st.floats(-(2.0**53), 2.0**53)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=20,
)
documents = st.lists(values, max_size=4) | st.dictionaries(text, values, max_size=4)


def in_chunks(whole, cuts):
    borders = [0, *sorted(cut % (len(whole) + 1) for cut in cuts), len(whole)]
    return [whole[start:end] for start, end in pairwise(borders)]


def read_stream(chunks):
    """All messages of a stream, as `ovs.jsonrpc.Connection.recv` reads them."""
    messages, parser = [], Parser()
    for chunk in chunks:
        rest = chunk
        while rest:
            rest = rest[parser.feed(rest) :]
            if parser.is_done():
                messages.append(parser.finish())
                parser = Parser()
    return messages


@given(
    messages=st.lists(documents, max_size=3),
    cuts=st.lists(st.integers(0, 5000), max_size=8),
    escaped=st.booleans(),
)
def test_a_stream_is_read_as_the_standard_library_reads_its_messages(messages, cuts, escaped):
    whole = "".join(json.dumps(message, ensure_ascii=escaped) for message in messages)

    assert read_stream(in_chunks(whole, cuts)) == messages


@given(messages=st.lists(documents, min_size=1, max_size=3), indent=st.integers(0, 3))
def test_white_space_around_messages_does_not_matter(messages, indent):
    whole = "".join(f" \n\t{json.dumps(message, indent=indent)}\r\n" for message in messages)

    assert read_stream(whole) == messages


@given(document=documents)
def test_one_character_at_a_time_is_enough(document):
    assert read_stream(json.dumps(document)) == [document]


@given(document=documents, cuts=st.lists(st.integers(0, 5000), max_size=5))
def test_a_whole_document_is_read_to_its_end(document, cuts):
    parser = Parser(check_trailer=True)
    for chunk in in_chunks(json.dumps(document) + "\n ", cuts):
        assert parser.feed(chunk) == len(chunk)

    assert parser.finish() == document


@given(garbage=st.text(max_size=40), cuts=st.lists(st.integers(0, 50), max_size=4))
def test_whatever_comes_in_nothing_is_raised_and_every_call_comes_forward(garbage, cuts):
    parser = Parser()
    for chunk in in_chunks(garbage, cuts):
        rest = chunk
        while rest and not parser.is_done():
            taken = parser.feed(rest)
            assert taken > 0 or parser.is_done()
            rest = rest[taken:]

    assert isinstance(parser.finish(), str | dict | list)


@given(document=documents, cut=st.integers(1, 5000))
def test_an_unfinished_message_is_an_error_in_words(document, cut):
    whole = json.dumps(document)
    parser = Parser()
    parser.feed(whole[: cut % len(whole)])

    assert "end of input" in parser.finish() or "empty" in parser.finish()


def parser_of_ovs():
    """The parser that ours replaces, whichever stands in its place in this process."""
    source = ovs.json.__loader__.get_source("ovs.json")
    namespace = {"__name__": "ovs.json"}
    exec(compile(source, "ovs/json.py", "exec"), namespace)
    namespace["PARSER"] = namespace["PARSER_PY"]
    return namespace["Parser"]


ParserOfOvs = parser_of_ovs()


@given(document=documents)
def test_it_agrees_with_the_parser_that_it_replaces(document):
    whole = json.dumps(document)
    slow, fast = ParserOfOvs(), Parser()

    assert slow.feed(whole) == fast.feed(whole)
    assert slow.finish() == fast.finish()


BAD = {
    "no value at all": ("hello", "beginning of input"),
    "a bare number": ("17 ", "beginning of input"),
    "a bare string": ('"x"', "beginning of input"),
    "a closing bracket first": ("}", "beginning of input"),
    "brackets that do not match": ('{"a": [1}]', ""),
    "a bracket closed by the other kind": ("[}", ""),
    "a missing comma": ('{"a": 1 "b": 2}', ""),
    "a trailing comma": ("[1,]", ""),
    "single quotes": ("{'a': 1}", ""),
    "not a number": ("[NaN]", "NaN"),
    "infinity": ("[-Infinity]", "Infinity"),
    "a number beyond all bounds": ("[1e999]", "outside valid range"),
    "a leading zero": ("[01]", ""),
    "a bad escape": ('["\\x41"]', ""),
    "a control character": ('["\n"]', ""),
    "a zero byte": ('["\\u0000"]', "null bytes"),
    "half a surrogate pair": ('["\\ud83d"]', "surrogate"),
    "the second half alone": ('["\\ude00"]', "surrogate"),
    "halves that are not beside each other": ('["\\ud83d-\\ude00"]', "surrogate"),
    "half a pair at the very end of a name": ('{"\\ud83d": 1}', "surrogate"),
    "nesting without end": ("[" * 100_000, "nesting depth"),
    "nesting of objects without end": ('{"a":' * 100_000, "nesting depth"),
}


@pytest.mark.parametrize(("whole", "complaint"), BAD.values(), ids=BAD)
def test_bad_input_ends_in_an_error_in_words(whole, complaint):
    parser = Parser()

    parser.feed(whole)

    assert parser.is_done()
    error = parser.finish()
    assert isinstance(error, str)
    assert complaint in error


def test_trailing_garbage_in_a_document_is_an_error():
    parser = Parser(check_trailer=True)
    parser.feed("{} {}")

    assert parser.finish() == "trailing garbage at end of input"


def test_nothing_is_an_error():
    assert "empty" in Parser().finish()


def test_a_real_number_without_fraction_is_an_integer():
    [value] = read_stream(['{"a": 10.0, "b": 1.5, "c": 1e2}'])

    assert value == {"a": 10, "b": 1.5, "c": 100}
    assert [type(each) for each in value.values()] == [int, float, int]


def test_an_escaped_backslash_before_u_is_no_escape_of_its_own():
    assert read_stream(['["\\\\u0000", "\\ud83d\\ude00"]']) == [["\\u0000", "\U0001f600"]]


def test_a_long_string_in_small_chunks_costs_no_more_than_its_length():
    whole = json.dumps(["x" * 2_000_000])
    chunks = [whole[start : start + 4096] for start in range(0, len(whole), 4096)]

    assert read_stream(chunks) == [["x" * 2_000_000]]


INSTALLED = """
import logging, sys, types, ovs.json
from anyvisor.ovsdb import parser
logging.basicConfig(level=logging.INFO, format="%(message)s")
ovs.json.PARSER = sys.argv[1]
print(parser.install(), parser.install(), ovs.json.Parser is parser.Parser)
"""


def installed(kind):
    argv = [sys.executable, "-c", INSTALLED, kind]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return done.stdout.split(), done.stderr.splitlines()


def test_it_steps_in_where_the_c_parser_is_missing_and_says_so_once():
    answers, log = installed(ovs.json.PARSER_PY)

    assert answers == ["True", "True", "True"]
    assert len(log) == 1


def test_it_stays_away_where_the_c_parser_is_there():
    answers, log = installed(ovs.json.PARSER_C)

    assert answers == ["False", "False", "False"]
    assert log == []
