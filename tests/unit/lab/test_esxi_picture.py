# SPDX-License-Identifier: Apache-2.0
"""From vCenter's state to bridges and cables."""

from dataclasses import replace

import pytest

from anyvisor.lab.esxi import bridges, picture
from anyvisor.lab.esxi.bridges import Seen
from anyvisor.lab.esxi.flows import ANY_VLAN, Learning
from anyvisor.lab.esxi.picture import Machine
from anyvisor.lab.vcenter.model import Changed, State, structure

NOTHING = {"promiscuous": False, "mac_changes": False, "forged_transmits": False}
EVERYTHING = dict.fromkeys(NOTHING, True)
KINDS = ("hosts", "switches", "port_groups", "ports", "vms")


def host(name, *, groups=(), pnics=("vmnic0",), **change):
    own = {"name": "vSwitch0", "mtu": 1700, "uplinks": list(pnics), "port_groups": list(groups)}
    return {
        "key": f"host-{name}", "name": name, "version": "8.0.3", "cluster": "", "powered": True, "connected": True,
        "maintenance": False, "pnics": [], "switches": [own], **change,
    }  # fmt: skip


def standard_group(name, vlan=0, **security):
    return {"name": name, "vlan": vlan, "security": {**NOTHING, **security}}


def switch(uuid, members, **change):
    return {
        "key": f"dvs-{uuid}", "uuid": uuid, "name": f"switch {uuid}", "version": "8.0.0", "mtu": 9000, "uplinks": [],
        "members": [{"host": f"host-{name}", "pnics": list(pnics)} for name, pnics in members.items()],
        "network_offload": "", "pvlans": [], "can_learn": True,
        "ipfix": {"collector": "", "port": 0, "domain": 0, "sampling": 0, "internal_only": False}, **change,
    }  # fmt: skip


def port(uuid, number, **change):
    return {
        "key": f"{uuid}/{number}", "switch": uuid, "port": number, "port_group": "g", "host": "", "vm": "", "nic": 0,
        "vlan": 0, "trunk": [], "pvlan": 0, "blocked": False, "security": NOTHING, "mac_learning": False,
        "unicast_flooding": True, "mac_limit": 4096, "ipfix": False, "rules": [], **change,
    }  # fmt: skip


def nic(key=4000, *, standard=None, distributed=None, **change):
    backing = None
    if standard is not None:
        backing = {"kind": "standard", "switch": "vSwitch0", "port_group": standard, "port": ""}
    if distributed is not None:
        uuid, number = distributed
        backing = {"kind": "distributed", "switch": uuid, "port_group": "g", "port": number}
    return {
        "key": key, "mac": "52:54:00:00:00:0A", "type": "vmxnet3", "connected": True, "started": True,
        "backing": backing, **change,
    }  # fmt: skip


def vm(name, where, *nics, **change):
    return {
        "key": f"vm-{name}", "name": name, "uuid": name, "host": f"host-{where}", "moving_to": "",
        "power": "poweredOn", "running": True, "template": False, "tools": "", "nics": list(nics),
        "guestinfo": {}, "boot": "2026-01-01T00:00:00Z", **change,
    }  # fmt: skip


def state(*, generation=1, full=True, changed=None, **lists):
    data = {kind: lists.get(kind, []) for kind in KINDS}
    changed = {kind: (changed or {}).get(kind, []) for kind in KINDS}
    return structure(
        State,
        {"instance": "i", "generation": generation, "full": full, "about": {}, "changed": changed, **data},
    )


def by_name(one):
    return Machine(part=one.name)


def only(found, name="esx1"):
    """The one socket of a host, and its cable."""
    sockets = [socket for bridge in found.bridges[name] for socket in bridge.sockets]
    (cable,) = found.cables.values()
    return (sockets[0] if sockets else None), cable


class TestStandardSwitch:
    def test_a_card_is_in_the_port_group_of_its_name(self):
        groups = [standard_group("red", 10), standard_group("blue", 20, promiscuous=True, mac_changes=True)]
        found = picture.picture_of(
            state(hosts=[host("esx1", groups=groups)], vms=[vm("a", "esx1", nic(standard="blue"))]), by_name
        )

        socket, cable = only(found)
        assert (socket.device, socket.plug, socket.may_change) == ("tap-a", "blue", True)
        assert (socket.station.vlan, socket.station.promiscuous, socket.station.forged) == (20, True, False)
        assert (cable.host, cable.card, cable.up, cable.mtu) == ("esx1", "eth0", True, 1700)
        assert (cable.mac, cable.counter, cable.distributed) == ("52:54:00:00:00:0a", "vm-a/4000", False)

    def test_vlan_4095_is_a_trunk_of_everything(self):
        hosts = [host("esx1", groups=[standard_group("all", 4095)])]

        socket, _ = only(
            picture.picture_of(state(hosts=hosts, vms=[vm("a", "esx1", nic(standard="all"))]), by_name)
        )

        assert (socket.station.trunk, socket.station.vlan) == (ANY_VLAN, 0)

    def test_after_a_move_the_new_hosts_group_counts(self):
        hosts = [
            host("esx1", groups=[standard_group("prod", 10)]),
            host("esx2", groups=[standard_group("prod", 20)]),
        ]
        found = picture.picture_of(state(hosts=hosts, vms=[vm("a", "esx2", nic(standard="prod"))]), by_name)

        socket, cable = only(found, "esx2")
        assert (socket.station.vlan, cable.host) == (20, "esx2")
        assert found.bridges["esx1"][0].sockets == ()

    def test_a_group_that_is_gone_leaves_the_card_unplugged(self):
        found = picture.picture_of(
            state(hosts=[host("esx1")], vms=[vm("a", "esx1", nic(standard="gone"))]), by_name
        )

        socket, cable = only(found)
        assert socket is None
        assert not cable.up


class TestDistributedSwitch:
    def world(self, *, members=None, vms=None, **policy):
        return state(
            hosts=[host("esx1"), host("esx2")],
            switches=[switch("u", {"esx1": ["vmnic1"], "esx2": []} if members is None else members)],
            ports=[port("u", "7", **policy)],
            vms=[vm("a", "esx1", nic(distributed=("u", "7")))] if vms is None else vms,
        )

    def test_a_card_has_the_policy_of_its_port(self):
        learning = {"mac_learning": True, "mac_limit": 5, "unicast_flooding": False}
        found = picture.picture_of(
            self.world(trunk=[[1, 99], [200, 200]], security=EVERYTHING, **learning), by_name
        )

        socket, cable = only(found)
        station = socket.station
        assert station.trunk == ((1, 99), (200, 200))
        assert station.learning == Learning(flooding=False, limit=5)
        assert station.forged
        assert (cable.counter, cable.distributed, cable.mtu) == ("u/7", True, 9000)

    def test_each_member_has_a_bridge_of_the_same_name_and_its_own_uplinks(self):
        found = picture.picture_of(self.world(), by_name)

        one, other = found.bridges["esx1"][1], found.bridges["esx2"][1]
        assert one.name == other.name
        assert (one.uplinks, other.uplinks) == (("vmnic1",), ())
        assert len(one.name) <= 15

    def test_a_renamed_switch_is_the_same_bridge(self):
        before = self.world()
        after = replace(before, switches=(replace(before.switches[0], name="other"),))

        names = [picture.picture_of(one, by_name).bridges["esx1"][1].name for one in (before, after)]

        assert names[0] == names[1]

    @pytest.mark.parametrize("policy", [{"blocked": True}, {"pvlan": 5}])
    def test_nothing_passes_a_blocked_port_but_the_guest_sees_a_carrier(self, policy):
        socket, cable = only(picture.picture_of(self.world(**policy), by_name))

        assert socket is None
        assert cable.up

    def test_on_a_host_outside_of_the_switch_nothing_passes(self):
        socket, cable = only(picture.picture_of(self.world(members={"esx2": []}), by_name))

        assert socket is None
        assert not cable.up

    @pytest.mark.parametrize(
        "machine",
        [
            vm("a", "esx1", nic(distributed=("u", "7"), connected=False)),
            vm("a", "esx1", nic(distributed=("u", "7")), running=False),
            vm("a", "esx1", nic(distributed=("u", "8"))),
            vm("a", "esx1", nic()),
        ],
        ids=["disconnected", "off", "no such port", "nowhere"],
    )
    def test_a_card_without_a_connection_is_down_on_its_host(self, machine):
        socket, cable = only(picture.picture_of(self.world(vms=[machine]), by_name))

        assert socket is None
        assert (cable.up, cable.host) == (False, "esx1")

    def test_a_function_that_was_passed_through_has_its_end_on_the_card_not_here(self):
        machine = vm("a", "esx1", nic(distributed=("u", "7"), type="sriov"))

        assert picture.picture_of(self.world(vms=[machine]), by_name).cables == {}

    def test_vms_on_a_dead_host_are_silent(self):
        world = self.world()
        dead = replace(world, hosts=tuple(replace(one, powered=False) for one in world.hosts))

        assert only(picture.picture_of(dead, by_name))[0] is None

    def test_templates_and_strangers_have_no_cards(self):
        vms = [vm("a", "esx1", nic(distributed=("u", "7")), template=True), vm("b", "esx1", nic())]

        found = picture.picture_of(self.world(vms=vms), lambda one: None if one.name == "b" else by_name(one))

        assert found.cables == {}


class TestNames:
    def test_an_appliances_trunk_is_called_as_it_says(self):
        world = state(
            hosts=[host("esx1", groups=[standard_group("all", 4095), standard_group("net")])],
            vms=[vm("a", "esx1", nic(1, standard="net"), nic(2, standard="all"), nic(3, standard="net"))],
        )

        found = picture.picture_of(world, lambda one: Machine(part=one.name, appliance=True, trunk="trunk0"))
        counted = picture.picture_of(world, lambda one: Machine(part=one.name, appliance=True))

        assert [cable.card for cable in found.cables.values()] == ["eth0", "trunk0", "eth2"]
        assert [cable.card for cable in counted.cables.values()] == ["eth0", "eth1", "eth2"]

    def test_a_trunk_that_is_disconnected_is_still_one(self):
        world = state(
            hosts=[host("esx1", groups=[standard_group("all", 4095)])],
            vms=[vm("a", "esx1", nic(2, standard="all", connected=False))],
        )

        found = picture.picture_of(world, lambda one: Machine(part="a", appliance=True, trunk="trunk0"))

        assert [(cable.card, cable.up) for cable in found.cables.values()] == [("trunk0", False)]

    def test_devices_have_names_of_their_own_that_fit(self):
        machine = Machine(part="a-very-long-name-of-an-appliance", appliance=True)

        names = {picture.device_name(machine, key, number) for number, key in enumerate((4000, 4001, 4002))}

        assert len(names) == 3
        assert all(len(name) <= 15 for name in names)


class TestMerging:
    def test_what_changed_is_taken_and_what_is_gone_goes(self):
        known = state(
            hosts=[host("esx1"), host("esx2")], vms=[vm("a", "esx1"), vm("b", "esx1"), vm("c", "esx1")]
        )
        news = state(
            generation=2,
            full=False,
            vms=[vm("b", "esx2"), vm("d", "esx1")],
            changed={"vms": ["vm-b", "vm-c", "vm-d"]},
        )

        found = picture.merged(known, news)

        assert (found.generation, found.full) == (2, True)
        assert [one.name for one in found.hosts] == ["esx1", "esx2"]
        assert {one.name: one.host for one in found.vms} == {
            "a": "host-esx1",
            "b": "host-esx2",
            "d": "host-esx1",
        }

    def test_a_full_answer_replaces_everything(self):
        known, news = state(vms=[vm("a", "esx1")]), state(generation=2)

        assert picture.merged(known, news) == news
        assert isinstance(news.changed, Changed)


class TestPorts:
    def bridge(self, *devices, uplinks=("vmnic0", "vmnic1")):
        world = state(
            hosts=[host("esx1", groups=[standard_group("g")], pnics=uplinks)],
            vms=[vm(device, "esx1", nic(standard="g")) for device in devices],
        )
        return picture.picture_of(world, by_name).bridges["esx1"][0]

    def test_a_bridge_is_made_with_all_its_ports_and_one_uplink(self):
        bridge = self.bridge("a")

        steps = bridges.additions([bridge], {})

        assert steps[0] == ("add-br", bridge.name)
        assert "fail-mode=secure" in steps[1]
        assert [step[2] for step in steps if step[0] == "add-port"] == ["vmnic0", "tap-a"]
        assert ("set", "Interface", "tap-a", 'external-ids:plug="g"') in steps

    def test_what_is_there_is_not_touched(self):
        bridge = self.bridge("a")
        there = {bridge.name: {"vmnic0": Seen(number=1), "tap-a": Seen(number=2, plug="g")}}

        assert bridges.additions([bridge], there) == bridges.removals([bridge], there) == ()

    def test_what_is_no_longer_wanted_goes(self):
        bridge = self.bridge("a")
        there = {bridge.name: {"tap-b": Seen(number=1)}, "vss-old": {"tap-c": Seen(number=1)}}

        assert bridges.removals([bridge], there) == (
            ("del-port", bridge.name, "tap-b"),
            ("del-br", "vss-old"),
        )

    def test_a_replugged_card_keeps_its_port(self):
        bridge = self.bridge("a")
        there = {bridge.name: {"vmnic0": Seen(number=1), "tap-a": Seen(number=2, plug="before")}}

        assert bridges.additions([bridge], there) == (("set", "Interface", "tap-a", 'external-ids:plug="g"'),)
        assert bridges.removals([bridge], there) == ()

    def test_stations_have_the_numbers_that_the_switch_gave(self):
        bridge = self.bridge("a", "b")
        ports = {"vmnic0": Seen(number=9), "tap-a": Seen(number=4), "tap-b": Seen(number=None)}

        found = bridges.switch_of(bridge, ports, {})

        assert found.uplink == 9
        assert [station.port for station in found.stations] == [4]

    def test_a_guest_with_another_address_is_cut_off_unless_it_may(self):
        bridge = self.bridge("a")
        ports, address = {"tap-a": Seen(number=4)}, {"tap-a": "52:54:00:99:99:99"}
        lax = replace(bridge, sockets=tuple(replace(socket, may_change=True) for socket in bridge.sockets))

        assert bridges.switch_of(bridge, ports, address).stations == ()
        assert [one.mac for one in bridges.switch_of(lax, ports, address).stations] == ["52:54:00:99:99:99"]

    def test_what_the_switch_lists_is_read(self):
        text = (
            '{"data":[["b1",["set",[["uuid","1"],["uuid","2"]]]],["b2",["uuid","3"]]],"headings":[]}\n'
            '{"data":[[["uuid","1"],"tap-x"],[["uuid","2"],"b1"],[["uuid","3"],"b2"]],"headings":[]}\n'
            '{"data":[["b2",["set",[]],["map",[]]],["tap-x",7,["map",[["plug","u/3"]]]],["b1",65534,["map",[]]]]}\n'
        )

        assert bridges.parse(text) == {"b1": {"tap-x": Seen(number=7, plug="u/3")}, "b2": {}}
