# SPDX-License-Identifier: Apache-2.0
"""The Linux bridge driver against the kernel, in a namespace of its own."""

import socket
import time
from pathlib import Path

import pytest

from anyvisor.contracts.switch import SwitchCapabilities
from anyvisor.drivers.linuxbridge.switch import LinuxBridges
from anyvisor.drivers.listed.hypervisor import ListedHypervisor
from anyvisor.errors import ForeignObjectError, RetryableError
from anyvisor.model.attachment import Plug
from anyvisor.model.names import HostName, Mac, PortName
from anyvisor.netlink.links import read_links
from anyvisor.planner.segments import SegmentBridge
from anyvisor.testing.namespace import inside, ip, namespace
from anyvisor.testing.switch_contract import SwitchContract

pytestmark = pytest.mark.lab

WEB = SegmentBridge(name="av-web", uplink="eth1")
ONE = Plug(port=PortName("vm1"), device="tap1", bridge="av-web")
TWO = Plug(port=PortName("vm2"), device="tap2", bridge="av-web")
MAC1 = Mac("52:54:00:00:00:01")


@pytest.fixture
def host():
    with namespace() as host, namespace() as vm, inside(host):
        for card in ("eth0", "eth1"):
            ip("link", "add", card, "type", "veth", "peer", "name", f"{card}-far")
            ip("link", "set", f"{card}-far", "netns", vm)
        for number in (1, 2):
            ip("link", "add", f"tap{number}", "address", f"fe:54:00:00:00:0{number}", "type", "veth",
               "peer", "name", f"vm{number}", "netns", vm, "address", f"52:54:00:00:00:0{number}")  # fmt: skip
            ip("-n", vm, "link", "set", f"vm{number}", "up")
        ip("link", "add", "foreign0", "type", "veth", "peer", "name", "f1", "netns", vm)
        ip("link", "add", "br0", "type", "bridge")
        ip("link", "add", "docker0", "type", "bridge")
        ip("link", "set", "eth0", "master", "br0")
        ip("link", "set", "foreign0", "master", "docker0")
        yield vm


@pytest.fixture
def driver(host):
    driver = LinuxBridges(owner=lambda: "0f0f", natives=lambda: ["br0"])
    driver.shape([WEB])
    return driver


class TestContract(SwitchContract):
    @pytest.fixture
    def one(self):
        return ONE

    @pytest.fixture
    def two(self):
        return TWO

    @pytest.fixture
    def foreign(self):
        return Plug(port=PortName("vm1"), device="foreign0", bridge="av-web")


def test_capabilities_are_found_by_trying_and_leave_nothing_behind(host):
    before = set(read_links())

    found = LinuxBridges(owner=lambda: "0f0f").capabilities

    assert isinstance(found, SwitchCapabilities)
    assert not found.programmed_by_controller
    assert set(read_links()) == before


def test_a_bridge_of_ours_holds_its_card_and_keeps_the_host_off_the_network(driver):
    there = read_links()

    assert there["eth1"].master == "av-web"
    assert there["eth1"].up
    assert Path("/proc/sys/net/ipv6/conf/av-web/disable_ipv6").read_text().strip() == "1"
    assert driver.bridges() == {"av-web": WEB}


def test_shaping_again_changes_nothing(driver):
    before = read_links()

    driver.shape([WEB])

    assert read_links() == before


def test_a_bridge_with_a_vnic_in_it_stays_until_the_vnic_has_left(driver):
    driver.apply([ONE])
    driver.shape([])
    assert "av-web" in read_links()

    ip("link", "del", "tap1")
    driver.shape([])

    assert "av-web" not in read_links()
    assert read_links()["eth1"].master is None


def test_a_bridge_follows_its_network_to_another_card(driver):
    driver.apply([ONE])
    ip("link", "add", "eth2", "type", "veth", "peer", "name", "eth2-far")

    driver.shape([SegmentBridge(name="av-web", uplink="eth2")])

    there = read_links()
    assert (there["eth2"].master, there["eth1"].master, there["tap1"].master) == ("av-web", None, "av-web")


def test_the_operators_bridge_is_used_and_never_removed(driver):
    native = SegmentBridge(name="br0", uplink="eth0", native=True)
    driver.shape([native])
    driver.apply([Plug(port=PortName("vm1"), device="tap1", bridge="br0")])

    driver.shape([])

    assert read_links()["tap1"].master == "br0"
    assert read_links()["eth0"].master == "br0"


def test_a_vnic_is_moved_out_of_a_bridge_that_the_site_lists(driver):
    ip("link", "set", "tap1", "master", "br0")

    driver.apply([ONE])

    assert read_links()["tap1"].master == "av-web"


def test_a_card_in_somebody_elses_bridge_is_reported(driver):
    with pytest.raises(ForeignObjectError, match="br0"):
        driver.shape([WEB, SegmentBridge(name="av-db", uplink="eth0")])

    assert read_links()["eth0"].master == "br0"


def test_somebody_elses_bridge_of_the_same_name_is_reported(driver):
    with pytest.raises(ForeignObjectError, match="docker0"):
        driver.shape([WEB, SegmentBridge(name="docker0", uplink="eth1")])


def test_a_card_that_is_not_there_is_worth_another_try(driver):
    with pytest.raises(RetryableError, match="eth9"):
        driver.shape([SegmentBridge(name="av-db", uplink="eth9")])


def test_another_installation_sees_none_of_it(driver):
    driver.apply([ONE])
    other = LinuxBridges(owner=lambda: "another", natives=lambda: ["br0"])

    assert other.observe() == {}
    assert other.bridges() == {}
    with pytest.raises(ForeignObjectError):
        other.shape([WEB])


def test_counters_are_seen_from_the_vm(driver, host):
    driver.apply([ONE])
    before = driver.counters()[ONE.port]
    frame = bytes.fromhex("ffffffffffff" + MAC1.replace(":", "") + "88b5") + bytes(46)

    def counted():
        # A device that has just come up drops what is sent before the kernel has noticed its carrier.
        with inside(host), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.bind(("vm1", 0))
            for _ in range(10):
                raw.send(frame)
        return driver.counters()[ONE.port].since(before)

    give_up = time.monotonic() + 30
    while (now := counted()).tx_bytes < 10 * len(frame) and time.monotonic() < give_up:
        time.sleep(0.1)

    assert now.tx_packets >= 10
    assert now.tx_bytes >= 10 * len(frame)
    assert now.rx_packets < now.tx_packets


def test_the_listed_hypervisor_finds_the_vnics_and_counts_them(host):
    hypervisor = ListedHypervisor(HostName("kvm3"), lambda: [MAC1, Mac("52:54:00:00:00:77")])

    assert [(v.mac, v.device) for v in hypervisor.vnics(HostName("kvm3"))] == [(MAC1, "tap1")]
    assert set(hypervisor.counters(HostName("kvm3"))) == {MAC1}
    assert hypervisor.vnics(HostName("other")) == ()


def test_the_listed_hypervisor_tells_of_a_new_device(host):
    import threading

    told = threading.Event()
    hypervisor = ListedHypervisor(HostName("kvm3"), list)

    with hypervisor.watch(lambda host: told.set()):
        ip("link", "add", "tap9", "type", "veth", "peer", "name", "tap9-far")
        assert told.wait(10)
