# SPDX-License-Identifier: Apache-2.0
"""Counting flows on a provider bridge, with frames injected into pretended devices."""

import pytest

from anyvisor.drivers.openvswitch.openflow import OpenFlow, parse_flows
from anyvisor.drivers.openvswitch.stations import Stations
from anyvisor.drivers.openvswitch.switch import OpenvSwitch
from anyvisor.errors import ForeignObjectError, UnreachableError
from anyvisor.model.names import Mac
from anyvisor.model.vnic import Counters
from anyvisor.planner.stations import StationCount
from anyvisor.testing.vswitch import vswitch

pytestmark = pytest.mark.ovn

STATION = Mac("52:54:00:00:00:04")
OTHER = Mac("52:54:00:00:00:05")
INSIDE = "0a:00:00:00:00:01"
BROADCAST = "ff:ff:ff:ff:ff:ff"


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with vswitch(tmp_path_factory.mktemp("ovs")) as switch:
        yield switch


@pytest.fixture
def ovs(running):
    for bridge in running.vsctl("list-br").split():
        running.vsctl("del-br", bridge)
    running.vsctl("add-br", "br-ex", "--", "set", "bridge", "br-ex", "datapath_type=dummy",
                  "--", "add-port", "br-ex", "eth0",
                  "--", "add-port", "br-ex", "inner", "--", "set", "Interface", "inner",
                  'external_ids:attached-mac="0a:00:00:00:00:01"')  # fmt: skip
    return running


@pytest.fixture
def driver(ovs):
    driver = OpenvSwitch.connect(ovs.remote, owner=lambda: "0f0f")
    yield driver
    driver.close()


@pytest.fixture
def stations(ovs, driver):
    return Stations(OpenFlow(ovs.folder), driver.uplinks)


def send(ovs, device, source, destination, vlan=200):
    tag = f"8100{vlan:04x}" if vlan else ""
    frame = (destination + source).replace(":", "") + tag + "88b5" + "00" * 46
    tell(ovs, "netdev-dummy/receive", device, frame)
    # Answered once it is queued; the switch takes it in its next round, before it hears another order.
    for _ in range(2):
        tell(ovs, "version")
    return len(frame) // 2


def tell(ovs, *order):
    ovs.run("ovs-appctl", "-t", f"{ovs.folder}/ovs-vswitchd.ctl", *order)


def counted(ovs, stations, wanted):
    tell(ovs, "revalidator/purge")
    return stations.count({"br-ex": wanted})


def test_what_a_station_sends_and_receives_is_counted_apart_by_kind(ovs, stations):
    stations.count({"br-ex": {STATION: 200}})

    send(ovs, "eth0", STATION, INSIDE)
    send(ovs, "eth0", STATION, INSIDE)
    send(ovs, "eth0", STATION, BROADCAST)
    size = send(ovs, "inner", INSIDE, STATION)
    send(ovs, "inner", INSIDE, BROADCAST)

    untagged = size - 4
    assert counted(ovs, stations, {STATION: 200}) == {
        STATION: StationCount(
            unicast=Counters(tx_packets=2, tx_bytes=2 * untagged, rx_packets=1, rx_bytes=untagged),
            flooded=Counters(tx_packets=1, tx_bytes=untagged, rx_packets=1, rx_bytes=untagged),
        )
    }


def test_what_only_passes_by_outside_is_not_counted_as_received(ovs, stations):
    stations.count({"br-ex": {STATION: 200}})

    send(ovs, "eth0", "0a:00:00:00:00:99", STATION)
    send(ovs, "eth0", "0a:00:00:00:00:99", BROADCAST)

    assert counted(ovs, stations, {STATION: 200}) == {STATION: StationCount()}


def test_counting_another_station_leaves_the_first_ones_counters_alone(ovs, stations):
    stations.count({"br-ex": {STATION: 200}})
    send(ovs, "eth0", STATION, INSIDE)

    stations.count({"br-ex": {STATION: 200, OTHER: 201}})

    assert counted(ovs, stations, {STATION: 200, OTHER: 201})[STATION].unicast.tx_packets == 1


def test_a_second_look_changes_no_flow(ovs, stations):
    stations.count({"br-ex": {STATION: 200}})
    before = [flow.match for flow in OpenFlow(ovs.folder).flows("br-ex")]

    stations.count({"br-ex": {STATION: 200}})

    assert [flow.match for flow in OpenFlow(ovs.folder).flows("br-ex")] == before


def test_once_nothing_is_to_be_counted_no_flow_is_left(ovs, stations):
    stations.count({"br-ex": {STATION: 200}})
    assert len(OpenFlow(ovs.folder).flows("br-ex")) > 1

    stations.count({"br-ex": {}})

    assert [flow.actions for flow in OpenFlow(ovs.folder).flows("br-ex")] == ["NORMAL"]


def test_a_bridge_that_somebody_else_programs_is_left_alone(ovs, stations):
    OpenFlow(ovs.folder).change("br-ex", ["add cookie=0x7,priority=9,dl_type=0x800,actions=drop"])

    with pytest.raises(ForeignObjectError, match="br-ex"):
        stations.count({"br-ex": {STATION: 200}})

    assert {flow.cookie for flow in OpenFlow(ovs.folder).flows("br-ex")} == {0, 7}


def test_counters_of_a_port_are_of_this_moment(ovs, driver):
    from anyvisor.model.attachment import Plug

    driver.apply([Plug(port="vm1", device="tap1", bridge="br-ex", mac=Mac(INSIDE))])
    size = send(ovs, "tap1", INSIDE, BROADCAST, vlan=0)

    assert driver.counters()["vm1"] == Counters(tx_packets=1, tx_bytes=size)


def test_a_switch_that_is_not_there_is_unreachable(tmp_path):
    with pytest.raises(UnreachableError):
        OpenFlow(tmp_path).flows("br-ex")


def test_a_dump_is_read_to_the_last_flow():
    text = """OFPST_FLOW reply (OF1.4) (xid=0x2):
 cookie=0xa1, duration=0.004s, table=0, n_packets=3, n_bytes=180, idle_age=2, priority=100,in_port=1 actions=NORMAL
 cookie=0x0, duration=0.050s, table=0, n_packets=0, n_bytes=0, actions=NORMAL
 cookie=0x0, duration=0.050s, table=0, n_packets=1, n_bytes=2, priority=0 actions=output:2,3
"""
    flows = parse_flows(text)

    assert [(f.cookie, f.packets, f.bytes, f.actions) for f in flows] == [
        (0xA1, 3, 180, "NORMAL"),
        (0, 0, 0, "NORMAL"),
        (0, 1, 2, "output:2,3"),
    ]
