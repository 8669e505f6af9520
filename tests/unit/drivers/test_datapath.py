# SPDX-License-Identifier: Apache-2.0
"""Which way frames took, from the flows of a datapath."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyvisor.drivers.openvswitch.datapath import Datapath, DatapathFlow, PathSums, parse_flows
from anyvisor.errors import UnreachableError
from anyvisor.model.vnic import PathCount

DUMP = """\
flow-dump from the main thread:
ufid:91cc45de-e7e9-4935-8f82-1890430b0f66, skb_priority(0/0),ct_state(0/0x23),recirc_id(0),dp_hash(0/0),\
in_port(pf0vf0),eth(src=00:00:00:c5:6d:4e,dst=00:00:00:e7:16:ce),eth_type(0x0800),ipv4(frag=no), packets:9, \
bytes:900, used:0.260s, offloaded:yes, dp:tc, actions:ct(zone=15,nat),recirc(0x440)
ufid:e00768d7-e652-4d79-8182-3291d852b791, skb_priority(0/0),recirc_id(0x440),dp_hash(0/0),in_port(pf0vf0),\
eth(), packets:9, bytes:900, used:0.260s, dp:ovs, actions:genev_sys_6081
ufid:30ae9875-d107-46a1-b8cb-cdaafd89d440, skb_priority(0/0),recirc_id(0),dp_hash(0/0),in_port(p0),packet_type(ns=0),\
eth(), packets:1, bytes:50, used:0.1s, offloaded:partial, dp:tc, actions:pf0vf0
nonsense
"""


def flow(ufid, count, *, device="pf0vf0", first=True, offloaded=True):
    return DatapathFlow(ufid=ufid, device=device, first=first, offloaded=offloaded, bytes=count)


def test_flows_are_read_as_the_datapath_prints_them():
    assert [(f.device, f.first, f.offloaded, f.bytes) for f in parse_flows(DUMP)] == [
        ("pf0vf0", True, True, 900),
        ("pf0vf0", False, False, 900),
        ("p0", True, False, 50),
    ]


def test_a_frame_that_is_slow_at_its_second_stage_is_slow_once():
    sums = PathSums()
    sums.add([])

    assert sums.add(parse_flows(DUMP))["pf0vf0"] == PathCount(entered=900, slow=900)


def test_what_was_there_before_the_first_look_is_not_counted():
    sums = PathSums()
    sums.add([flow("a", 500)])

    assert sums.add([flow("a", 700)]) == {"pf0vf0": PathCount(entered=200, slow=0)}


def test_a_flow_that_was_made_anew_counts_from_zero():
    sums = PathSums()
    sums.add([flow("a", 500)])

    assert sums.add([flow("a", 100, offloaded=False)]) == {"pf0vf0": PathCount(entered=100, slow=100)}


def test_a_flow_that_went_takes_nothing_away():
    sums = PathSums()
    sums.add([])
    sums.add([flow("a", 500)])

    assert sums.add([]) == {"pf0vf0": PathCount(entered=500, slow=0)}


flows = st.lists(
    st.builds(
        flow,
        st.sampled_from("abcdef"),
        st.integers(0, 10_000),
        device=st.sampled_from(["pf0vf0", "pf0vf1"]),
        first=st.booleans(),
        offloaded=st.booleans(),
    ),
    max_size=6,
    unique_by=lambda f: f.ufid,
)


@given(st.lists(flows, max_size=6))
def test_sums_never_shrink_and_no_more_is_slow_than_entered(looks):
    sums, before = PathSums(), {}
    for look in looks:
        now = sums.add(look)
        for device, count in now.items():
            earlier = before.get(device, PathCount())
            assert count.slow <= count.entered
            assert (earlier.entered, earlier.slow) <= (count.entered, count.slow)
            assert count.slow >= earlier.slow
        assert before.keys() <= now.keys()
        before = dict(now)


@given(flows)
def test_if_everything_is_offloaded_nothing_is_slow(look):
    sums = PathSums()
    sums.add([])

    counted = sums.add([flow(f.ufid, f.bytes, device=f.device, first=f.first) for f in look])

    assert all(count.slow == 0 for count in counted.values())


def test_a_switch_that_does_not_run_is_unreachable(tmp_path):
    with pytest.raises(UnreachableError):
        Datapath(tmp_path).paths()


def test_only_a_switch_of_this_machine_is_asked():
    assert Datapath.beside("tcp:192.0.2.1:6640") is None
    assert Datapath.beside("unix:/run/openvswitch/db.sock") is not None
