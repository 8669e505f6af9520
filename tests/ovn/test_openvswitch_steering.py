# SPDX-License-Identifier: Apache-2.0
"""Several vNICs on one VLAN of an appliance's trunk: frames injected into a real Open vSwitch with pretended devices."""

from dataclasses import replace

import pytest

from anyvisor.drivers.openvswitch.openflow import OpenFlow
from anyvisor.drivers.openvswitch.switch import OpenvSwitch
from anyvisor.model.attachment import Plug, Steered
from anyvisor.model.names import Mac, PortName
from anyvisor.model.vnic import Counters
from anyvisor.planner.plugs import TRUNK_BRIDGE, pair_names
from anyvisor.testing.vswitch import vswitch

pytestmark = pytest.mark.ovn

A, B, ALONE = Mac("52:54:00:00:00:0a"), Mac("52:54:00:00:00:0b"), Mac("52:54:00:00:00:0c")
REMOTE, ALL = "0a:00:00:00:00:99", "ff:ff:ff:ff:ff:ff"
TAG, OWN_TAG = 30, 31
VNICS = (
    Steered(port=PortName("a"), mac=A, vlan=TAG),
    Steered(port=PortName("b"), mac=B, vlan=TAG),
)


def pair(port, mac, vlan, *, steered):
    return Plug(
        port=PortName(port), device=pair_names(PortName(port))[0], bridge="br-int", iface_id=port, mac=mac,
        vlan=vlan, trunk=TRUNK_BRIDGE, steered=steered,
    )  # fmt: skip


PLUGS = [
    pair("a", A, TAG, steered=True),
    pair("b", B, TAG, steered=True),
    pair("c", ALONE, OWN_TAG, steered=False),
]


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with vswitch(tmp_path_factory.mktemp("ovs")) as switch:
        yield switch


class Appliance:
    """A trunk bridge, and an integration bridge where each vNIC's pair leads to a device of its own (`vm-a`, ...): what
    the controller would take in comes out there, what it would send goes in there.
    """

    def __init__(self, ovs, driver):
        self.ovs, self.driver, self.flows = ovs, driver, OpenFlow(ovs.folder)

    def build(self):
        for bridge in self.ovs.vsctl("list-br").split():
            self.ovs.vsctl("del-br", bridge)
        self.ovs.vsctl("add-br", "br-int", "--", "set", "bridge", "br-int", "datapath_type=dummy", "fail_mode=secure",
                       "--", "add-br", TRUNK_BRIDGE, "--", "set", "bridge", TRUNK_BRIDGE, "datapath_type=dummy",
                       "--", "add-port", TRUNK_BRIDGE, "trunk0", *(
                           word for vm in "abc" for word in ("--", "add-port", "br-int", f"vm-{vm}")
                       ))  # fmt: skip
        for device in ("trunk0", "vm-a", "vm-b", "vm-c"):
            self.ovs.vsctl("set", "Interface", device, f"options:pcap={self.ovs.folder}/{device}.pcap")
        self.driver.apply(PLUGS)
        for vm in "abc":
            near = pair_names(PortName(vm))[0]
            self.flows.change("br-int", [
                f"add in_port={self.number(near)},actions=output:{self.number(f'vm-{vm}')}",
                f"add in_port={self.number(f'vm-{vm}')},actions=output:{self.number(near)}",
            ])  # fmt: skip

    def number(self, device):
        return int(self.ovs.vsctl("get", "Interface", device, "ofport"))

    def steer(self, *vnics):
        self.driver.steer(TRUNK_BRIDGE, "trunk0", vnics or VNICS)

    def ours(self):
        return sorted(flow.cookie for flow in self.flows.flows(TRUNK_BRIDGE) if flow.cookie)

    def send(self, device, source, target, tag=None):
        """Where a frame comes out, as (device, destination, tag)."""
        head = f"8100{tag:04x}" if tag else ""
        frame = (target + source).replace(":", "") + head + "88b5" + "00" * 46
        before = {name: self.seen(name) for name in ("trunk0", "vm-a", "vm-b", "vm-c")}
        self.tell("netdev-dummy/receive", device, frame)
        # The answer comes when the frame is queued; the switch takes it from the queue in its next round,
        # before it hears the next order. So an order heard after that says that the frame has been through.
        for _ in range(2):
            self.tell("version")
        size = len(frame) // 2
        found = []
        for name, number in before.items():
            frames = self.frames(name)
            # The first that a device "sees" is what was put into it.
            new = frames[number + (name == device) :]
            found += [(name, *read(frame)) for frame in new]
        self.size = size
        return found

    def left_to_learn(self):
        """How many frames none of our flows took."""
        self.tell("revalidator/purge")
        return sum(flow.packets for flow in self.flows.flows(TRUNK_BRIDGE) if flow.actions == "NORMAL")

    def tell(self, *order):
        self.ovs.run("ovs-appctl", "-t", f"{self.ovs.folder}/ovs-vswitchd.ctl", *order)

    def seen(self, device):
        return len(self.frames(device))

    def frames(self, device):
        data = (self.ovs.folder / f"{device}.pcap").read_bytes()
        found, at = [], 24
        while at + 16 <= len(data):
            length = int.from_bytes(data[at + 8 : at + 12], "little")
            found.append(data[at + 16 : at + 16 + length])
            at += 16 + length
        return found


def read(frame):
    tagged = frame[12:14] == b"\x81\x00"
    return ":".join(f"{byte:02x}" for byte in frame[:6]), frame[15] if tagged else None


@pytest.fixture
def appliance(running):
    driver = OpenvSwitch.connect(running.remote, owner=lambda: "0f0f")
    made = Appliance(running, driver)
    made.build()
    yield made
    driver.close()


def test_what_a_vnic_sends_enters_by_its_own_pair_alone(appliance):
    appliance.steer()

    assert appliance.send("trunk0", A, REMOTE, TAG) == [("vm-a", REMOTE, None)]
    assert appliance.send("trunk0", B, REMOTE, TAG) == [("vm-b", REMOTE, None)]
    assert appliance.send("trunk0", A, ALL, TAG) == [("vm-a", ALL, None)]


def test_what_neighbours_say_to_each_other_is_not_taken_in(appliance):
    appliance.steer()

    assert appliance.send("trunk0", A, B, TAG) == []


def test_a_sender_that_nobody_knows_is_not_taken_in(appliance):
    appliance.steer()

    assert appliance.send("trunk0", REMOTE, A, TAG) == []
    assert appliance.send("trunk0", REMOTE, ALL, TAG) == []
    assert appliance.left_to_learn() == 0


def test_a_remote_frame_goes_out_once_with_the_tag_and_no_other_pair_sees_it(appliance):
    appliance.steer()

    assert appliance.send("vm-a", REMOTE, A) == [("trunk0", A, TAG)]
    # A bridge that learned would now lead the neighbour's answer into the wrong pair.
    assert appliance.send("trunk0", B, REMOTE, TAG) == [("vm-b", REMOTE, None)]


def test_what_is_for_all_goes_out_to_each_by_its_own_address(appliance):
    appliance.steer()

    assert appliance.send("vm-a", REMOTE, ALL) == [("trunk0", A, TAG)]
    assert appliance.send("vm-b", REMOTE, "33:33:00:00:00:01") == [("trunk0", B, TAG)]


def test_what_the_controller_floods_back_is_not_sent_out_again(appliance):
    appliance.steer()

    assert appliance.send("vm-b", A, ALL) == []
    assert appliance.send("vm-a", B, A) == [], "an answer in a neighbour's name"


def test_towards_one_that_moves_frames_pass_both_ways(appliance):
    appliance.steer(VNICS[0], replace(VNICS[1], settled=False))

    assert appliance.send("trunk0", A, B, TAG) == [("vm-a", B, None)]
    assert appliance.send("vm-a", B, A) == [("trunk0", A, TAG)]
    assert appliance.send("trunk0", B, A, TAG) == []


def test_a_vnic_alone_on_its_tag_is_switched_as_ever(appliance):
    appliance.steer()

    assert appliance.send("trunk0", ALONE, ALL, OWN_TAG) == [("vm-c", ALL, None)]
    assert appliance.send("vm-c", REMOTE, ALL) == [("trunk0", ALL, OWN_TAG)]


def test_without_flows_nothing_passes_a_shared_tag(appliance):
    assert appliance.send("trunk0", A, ALL, TAG) == []
    assert appliance.send("vm-a", REMOTE, ALL) == []


def test_a_guest_that_tags_by_itself_reaches_nobody(appliance):
    appliance.steer()

    assert appliance.send("vm-a", REMOTE, A, 77) == []
    assert appliance.left_to_learn() == 0


def test_a_second_look_changes_no_flow_and_lost_ones_come_back(appliance):
    appliance.steer()
    before = appliance.ours()

    appliance.steer()
    assert appliance.ours() == before
    appliance.ovs.run(
        "ovs-ofctl", "-O", "OpenFlow14", "del-flows", f"unix:{appliance.ovs.folder}/{TRUNK_BRIDGE}.mgmt"
    )
    assert appliance.ours() == []
    appliance.steer()

    assert appliance.ours() == before


def test_others_flows_stay_and_ours_go_with_the_last_that_shares(appliance):
    appliance.flows.change(TRUNK_BRIDGE, ["add cookie=0x7,priority=1,dl_type=0x9999,actions=drop"])
    appliance.steer()

    appliance.driver.steer(TRUNK_BRIDGE, "trunk0", ())

    assert appliance.ours() == [7]


def test_what_is_plugged_says_whether_it_is_steered(appliance):
    assert appliance.driver.observe() == {plug.port: plug for plug in PLUGS}


def test_what_found_nobody_is_not_counted(appliance):
    appliance.steer()
    appliance.send("trunk0", A, REMOTE, TAG)
    untagged = appliance.size - 4
    appliance.send("trunk0", A, B, TAG)
    appliance.send("vm-a", REMOTE, A)
    appliance.send("vm-a", B, A)
    appliance.send("vm-a", B, ALL)

    appliance.ovs.run("ovs-appctl", "-t", f"{appliance.ovs.folder}/ovs-vswitchd.ctl", "revalidator/purge")

    assert appliance.driver.counters()["a"] == Counters(
        tx_packets=1, tx_bytes=untagged, rx_packets=1, rx_bytes=untagged
    )
