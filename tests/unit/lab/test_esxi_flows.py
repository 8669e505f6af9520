# SPDX-License-Identifier: Apache-2.0
"""What an ESXi host's switch does with frames, on paper: the rules themselves are carried out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openflow_machine import Frame, Machine, is_group

from anyvisor.lab.esxi import announce, flows
from anyvisor.lab.esxi.flows import ANY_VLAN, Learning, Station, Switch

ALL = "ff:ff:ff:ff:ff:ff"
SOME = "01:00:5e:00:00:fb"
FAR = "52:54:00:99:99:99"
UPLINK = 50


def mac(port):
    return f"52:54:00:00:00:{port:02x}"


def station(port, vlan=0, **policy):
    return Station(port=port, mac=mac(port), vlan=vlan, **policy)


def trunk(port, ranges=((1, 4094),), **policy):
    return Station(port=port, mac=mac(port), trunk=ranges, **{"forged": True, **policy})


def machine(*stations, uplink=None):
    return Machine(flows.rules(Switch(stations=stations, uplink=uplink)))


def frame(port, target, vlan=None):
    return Frame(source=mac(port), target=mac(target) if isinstance(target, int) else target, vlan=vlan)


class TestAccessPorts:
    def test_a_frame_reaches_the_neighbour_it_is_for_and_nobody_else(self):
        switch = machine(station(1, 200), station(2, 200), station(3, 200), uplink=UPLINK)

        assert switch.send(1, frame(1, 2)) == [(2, frame(1, 2))]

    @pytest.mark.parametrize("target", [ALL, SOME])
    def test_broadcast_and_multicast_reach_the_vlan_and_leave_tagged(self, target):
        switch = machine(station(1, 200), station(2, 200), station(3, 201), uplink=UPLINK)

        assert switch.send(1, frame(1, target)) == [(2, frame(1, target)), (UPLINK, frame(1, target, 200))]

    def test_an_address_nobody_has_leaves_by_the_uplink_alone(self):
        switch = machine(station(1, 200), station(2, 200), uplink=UPLINK)

        assert switch.send(1, frame(1, FAR)) == [(UPLINK, frame(1, FAR, 200))]

    def test_without_a_vlan_frames_leave_untagged(self):
        switch = machine(station(1), uplink=UPLINK)

        assert switch.send(1, frame(1, FAR)) == [(UPLINK, frame(1, FAR))]

    @pytest.mark.parametrize("vlan", [0, 200])
    def test_a_tagged_frame_of_a_vnic_is_dropped(self, vlan):
        switch = machine(station(1, vlan), trunk(2, ANY_VLAN), uplink=UPLINK)

        assert switch.send(1, frame(1, ALL, 200)) == []

    def test_the_same_address_in_another_vlan_is_another_one(self):
        switch = machine(station(1, 200), station(2, 201), uplink=UPLINK)

        assert switch.ports(1, frame(1, 2)) == [UPLINK]


class TestUplink:
    def test_a_tagged_frame_reaches_its_vlan_untagged(self):
        switch = machine(station(1, 200), station(2, 201), uplink=UPLINK)

        assert switch.send(UPLINK, Frame(FAR, ALL, 200)) == [(1, Frame(FAR, ALL))]
        assert switch.send(UPLINK, Frame(FAR, mac(1), 200)) == [(1, Frame(FAR, mac(1)))]

    def test_an_untagged_frame_reaches_ports_without_a_vlan(self):
        switch = machine(station(1), station(2, 201), uplink=UPLINK)

        assert switch.ports(UPLINK, Frame(FAR, ALL)) == [1]

    def test_unknown_addresses_from_outside_are_dropped(self):
        switch = machine(station(1, 200), uplink=UPLINK)

        assert switch.send(UPLINK, Frame(FAR, "52:54:00:99:99:98", 200)) == []

    def test_what_is_known_here_does_not_leave(self):
        switch = machine(station(1, 200), station(2, 200), uplink=UPLINK)

        assert switch.ports(2, frame(2, 1)) == [1]


class TestTrunk:
    def test_frames_keep_their_tag(self):
        switch = machine(trunk(1, promiscuous=True), station(2, 101), station(3, 102))

        assert switch.send(2, frame(2, FAR)) == [(1, frame(2, FAR, 101))]
        assert switch.send(1, frame(1, ALL, 102)) == [(3, frame(1, ALL))]

    def test_ranges_hold_at_their_edges(self):
        switch = machine(trunk(1, ((100, 199), (300, 300)), promiscuous=True), uplink=UPLINK)

        passed = [vlan for vlan in range(1, 4095) if switch.send(UPLINK, Frame(FAR, ALL, vlan))]
        sent = [vlan for vlan in range(1, 4095) if switch.send(1, frame(1, ALL, vlan))]

        assert passed == sent == [*range(100, 200), 300]

    def test_untagged_frames_pass_only_where_vlan_0_is_in_the_range(self):
        narrow, wide = machine(trunk(1), uplink=UPLINK), machine(trunk(1, ANY_VLAN), uplink=UPLINK)

        assert narrow.send(1, frame(1, ALL)) == narrow.send(UPLINK, Frame(FAR, ALL)) == []
        assert wide.send(1, frame(1, ALL)) == [(UPLINK, frame(1, ALL))]
        assert wide.send(UPLINK, Frame(FAR, ALL)) == [(1, Frame(FAR, ALL))]

    def test_the_trunks_own_address_is_known_in_all_its_vlans(self):
        switch = machine(trunk(1), station(2, 101), station(3, 4094))

        assert switch.send(2, frame(2, 1)) == [(1, frame(2, 1, 101))]
        assert switch.send(3, frame(3, 1)) == [(1, frame(3, 1, 4094))]


class TestPromiscuous:
    def test_it_gets_every_frame_of_its_vlan_once(self):
        switch = machine(station(1, 200), station(2, 200), station(3, 200, promiscuous=True), uplink=UPLINK)

        assert switch.ports(1, frame(1, 2)) == [2, 3]
        assert switch.ports(1, frame(1, 3)) == [3]
        assert switch.ports(1, frame(1, ALL)) == [2, 3, UPLINK]
        assert switch.ports(1, frame(1, FAR)) == [3, UPLINK]
        assert switch.ports(UPLINK, Frame(FAR, mac(2), 200)) == [2, 3]
        assert switch.ports(UPLINK, Frame(FAR, "52:54:00:99:99:98", 200)) == [3]

    def test_other_vlans_stay_hidden(self):
        switch = machine(station(1, 201), station(3, 200, promiscuous=True), uplink=UPLINK)

        assert switch.ports(1, frame(1, ALL)) == [UPLINK]


class TestForging:
    def test_a_foreign_source_is_dropped(self):
        switch = machine(station(1, 200), station(2, 200), uplink=UPLINK)

        assert switch.send(1, Frame(FAR, ALL)) == []

    def test_unless_it_may(self):
        switch = machine(station(1, 200, forged=True), station(2, 200), uplink=UPLINK)

        assert switch.ports(1, Frame(FAR, ALL)) == [2, UPLINK]

    def test_learning_alone_does_not_allow_it(self):
        switch = machine(trunk(1, forged=False, learning=Learning()), station(2, 200))

        assert switch.send(1, Frame(FAR, ALL, 200)) == []
        assert switch.learned == {}


class TestLearning:
    def test_unicast_goes_where_its_address_was_learned_and_nowhere_else(self):
        switch = machine(trunk(1, learning=Learning()), trunk(2, learning=Learning()), station(3, 101))

        assert switch.ports(3, frame(3, FAR)) == [1, 2], "not known yet: flooded"
        switch.send(1, Frame(FAR, ALL, 101))

        assert switch.ports(3, frame(3, FAR)) == [1]

    def test_what_was_learned_goes_with_the_address_to_another_port(self):
        switch = machine(trunk(1, learning=Learning()), trunk(2, learning=Learning()), station(3, 101))
        switch.send(1, Frame(FAR, ALL, 101))
        switch.send(2, Frame(FAR, ALL, 101))

        assert switch.ports(3, frame(3, FAR)) == [2]

    def test_it_is_learned_per_vlan(self):
        switch = machine(trunk(1, learning=Learning(flooding=False)), station(3, 101), station(4, 102))
        switch.send(1, Frame(FAR, ALL, 101))

        assert switch.ports(3, frame(3, FAR)) == [1]
        assert switch.ports(4, frame(4, FAR)) == []

    def test_an_address_that_moved_away_is_still_sent_to_the_port_that_learned_it(self):
        """The trap of learning switches: nobody tells them."""
        switch = machine(trunk(1, learning=Learning()), station(3, 101), uplink=UPLINK)
        switch.send(1, Frame(FAR, ALL, 101))
        switch.send(UPLINK, Frame(FAR, ALL, 101))

        assert switch.ports(3, frame(3, FAR)) == [1]

    def test_the_vnics_own_addresses_are_not_learned_but_known(self):
        switch = machine(trunk(1, learning=Learning()), station(3, 101))
        switch.send(1, frame(1, ALL, 101))

        assert switch.learned == {}
        assert switch.ports(3, frame(3, 1)) == [1]

    def test_beyond_its_limit_frames_of_new_sources_are_dropped(self):
        switch = machine(trunk(1, learning=Learning(limit=1)), station(3, 101))

        assert switch.ports(1, Frame(FAR, ALL, 101)) == [3]
        assert switch.ports(1, Frame("52:54:00:99:99:98", ALL, 101)) == []
        assert switch.ports(1, Frame(FAR, ALL, 101)) == [3]

    def test_without_flooding_unknown_addresses_do_not_come(self):
        switch = machine(trunk(1, learning=Learning(flooding=False)), station(3, 101))

        assert switch.send(3, frame(3, FAR)) == []


class TestChanges:
    def test_nothing_is_to_be_done_twice(self):
        wanted = flows.rules(Switch(stations=(station(1, 200), trunk(2, learning=Learning())), uplink=9))

        assert flows.changes(wanted, [rule.cookie for rule in wanted]) == ()

    def test_what_is_no_longer_wanted_goes_first(self):
        before = flows.rules(Switch(stations=(station(1, 200),)))
        after = flows.rules(Switch(stations=(station(1, 201),)))

        lines = flows.changes(after, [rule.cookie for rule in before])

        words = [line.split()[0] for line in lines]
        assert words == sorted(words, reverse=True) != []
        assert any("load:201" in line for line in lines)

    def test_what_a_port_has_learned_stays_as_long_as_it_learns(self):
        learning = flows.rules(Switch(stations=(trunk(2, learning=Learning()),)))
        there = [*(rule.cookie for rule in learning), flows.learned_cookie(2)]

        assert flows.changes(learning, there) == ()
        dropped = flows.changes((), there)
        assert f"delete cookie={flows.learned_cookie(2):#x}/-1" in dropped

    def test_no_rule_has_the_cookie_of_something_learned(self):
        wanted = flows.rules(Switch(stations=tuple(trunk(port) for port in range(1, 9)), uplink=9))

        assert all(0 < rule.cookie < flows.LEARNED_COOKIE for rule in wanted)
        assert len({rule.cookie for rule in wanted}) == len(wanted)


@given(st.integers(0, 4094), st.integers(0, 4094))
def test_masks_cover_exactly_a_range(one, other):
    first, last = sorted((one, other))
    found = list(flows.masks(first, last))

    covered = [vlan for vlan in range(4096) for value, mask in found if vlan & mask == value]

    assert covered == list(range(first, last + 1))


vlans = st.sampled_from([0, 1, 100, 101, 102, 4094])
ranges = st.sampled_from([((1, 4094),), ((0, 4094),), ((100, 101),), ((0, 0), (102, 102)), ((1, 101),)])
learnings = st.one_of(
    st.none(), st.builds(Learning, flooding=st.booleans(), limit=st.sampled_from([0, 1, 4096]))
)


@st.composite
def switches(draw, *, uplink, trunks=True):
    count = draw(st.integers(1, 6))
    found = []
    for port in range(1, count + 1):
        policy = {name: draw(st.booleans()) for name in ("promiscuous", "forged")}
        policy["learning"] = draw(learnings)
        if trunks and draw(st.booleans()):
            found.append(trunk(port, draw(ranges), **policy))
        else:
            found.append(station(port, draw(vlans), **policy))
    return Switch(stations=tuple(found), uplink=UPLINK if uplink and draw(st.booleans()) else None)


@st.composite
def frames(draw):
    addresses = [mac(port) for port in range(1, 8)] + [FAR]
    return Frame(
        draw(st.sampled_from(addresses)),
        draw(st.sampled_from([*addresses, ALL, SOME])),
        draw(st.one_of(st.none(), vlans)),
    )


def carries(one, vlan):
    """Whether a port is part of a VLAN."""
    return any(first <= vlan <= last for first, last in one.trunk) if one.trunk else one.vlan == vlan


def vlan_in(switch, port, sent):
    """The VLAN that a frame is in once it has come in by a port; None: it may not."""
    if port == UPLINK:
        return sent.vlan or 0
    one = next(one for one in switch.stations if one.port == port)
    if not one.trunk:
        return one.vlan if sent.vlan is None else None
    return sent.vlan or 0 if carries(one, sent.vlan or 0) else None


@given(switches(uplink=False, trunks=False), st.data())
def test_on_a_switch_without_uplink_vlans_never_meet(switch, data):
    passing = machine(*switch.stations)
    vlan_of = {one.port: one.vlan for one in switch.stations}

    for _ in range(4):
        port, sent = data.draw(st.sampled_from(sorted(vlan_of))), data.draw(frames())

        assert all(vlan_of[out] == vlan_of[port] for out in passing.ports(port, sent))


@given(switches(uplink=True), st.lists(st.tuples(st.integers(1, 7), frames()), max_size=6))
def test_every_copy_of_a_frame_is_one_that_its_port_should_get(switch, traffic):
    """Whatever was learned before: no copy in another VLAN, none twice, none forged, none with a wrong tag."""
    passing = Machine(flows.rules(switch))
    stations = {one.port: one for one in switch.stations}
    for number, sent in traffic:
        port = number if number in stations else UPLINK
        if port == UPLINK and switch.uplink is None:
            continue
        out = passing.send(port, sent)
        vlan = vlan_in(switch, port, sent)
        own = stations.get(port)

        assert len({where for where, _ in out}) == len(out), "a duplicate"
        if vlan is None or (own is not None and not own.forged and sent.source != own.mac):
            assert out == []
        for where, copy in out:
            one = stations.get(where)
            assert (copy.source, copy.target) == (sent.source, sent.target)
            tagged = (one is None or bool(one.trunk)) and vlan != 0
            assert copy.vlan == (vlan if tagged else None)
            assert one is None or carries(one, vlan)
            plain = one is not None and not one.promiscuous and one.learning is None
            assert not plain or is_group(sent.target) or sent.target == one.mac


@given(switches(uplink=True), st.integers(1, 7), st.sampled_from([ALL, SOME]), st.one_of(st.none(), vlans))
def test_broadcast_reaches_everybody_of_its_vlan(switch, number, target, tag):
    stations = {one.port: one for one in switch.stations}
    port = number if number in stations else UPLINK
    if port == UPLINK and switch.uplink is None:
        return
    sent = Frame(stations[port].mac if port in stations else FAR, target, tag)
    vlan = vlan_in(switch, port, sent)

    out = Machine(flows.rules(switch)).ports(port, sent)

    everybody = [p for p, one in stations.items() if p != port and vlan is not None and carries(one, vlan)]
    outside = [UPLINK] if switch.uplink is not None and port != UPLINK and vlan is not None else []
    assert out == sorted(everybody + outside)


def test_a_newcomer_is_announced_in_its_vlan_and_a_trunk_is_not():
    switch = Switch(stations=(station(1, 200), trunk(2), station(3)), uplink=UPLINK)

    first, second = announce.announcements(switch, {1, 2, 3})

    assert first[:18].hex() == "ffffffffffff" + "525400000001" + "810000c8" + "8035"
    assert (
        first[18:]
        .hex()
        .startswith("0001080006040003" + "525400000001" + "00000000" + "525400000001" + "00000000")
    )
    assert second[:14].hex() == "ffffffffffff" + "525400000003" + "8035"
    assert len(first) == len(second) == 60


def test_nobody_is_announced_on_a_switch_without_uplink():
    assert list(announce.announcements(Switch(stations=(station(1, 200),)), {1})) == []
