# SPDX-License-Identifier: Apache-2.0
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyvisor.drivers.xl.wire import MOST_BYTES, Message, body_of, packed, unpacked, words

MESSAGES = st.builds(
    Message,
    type=st.integers(0, 30),
    request=st.integers(0, 2**32 - 1),
    body=st.binary(max_size=200),
)


@given(st.lists(MESSAGES, max_size=6), st.data())
def test_what_was_sent_is_received_however_it_was_cut(messages, data):
    stream = b"".join(packed(message) for message in messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    found, rest = [], b""
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        rest += stream[begin:end]
        while True:
            message, rest = unpacked(rest)
            if message is None:
                break
            found.append(message)

    assert found == messages
    assert rest == b""


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20), max_size=5))
def test_strings_come_back(strings):
    assert words(body_of(*strings)) == tuple(strings)


def test_a_message_has_its_limit_in_both_directions():
    with pytest.raises(ValueError, match="4097 bytes"):
        packed(Message(type=2, body=b"x" * (MOST_BYTES + 1)))
    with pytest.raises(ValueError, match="a message of 4097 bytes"):
        unpacked(b"\2\0\0\0" + b"\0" * 8 + (MOST_BYTES + 1).to_bytes(4, "little"))
