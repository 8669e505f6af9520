# SPDX-License-Identifier: Apache-2.0
"""The host's own addresses and routes against the kernel, in a namespace of its own."""

import json
import re
import socket
import struct
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from anyvisor.errors import RetryableError
from anyvisor.model.names import Mac
from anyvisor.netlink.host import HostNetwork
from anyvisor.netlink.links import can_make_vlan_devices, read_links
from anyvisor.planner.conversion import Address, HostBridge, Route
from anyvisor.testing.namespace import inside, ip, namespace

pytestmark = pytest.mark.lab

MAC = "52:54:00:00:00:aa"
IPV6 = Path("/proc/sys/net/ipv6/conf")
PATIENCE_SECONDS = 10.0

PLAIN = (
    "addr add 192.0.2.5/24 brd + dev br0",
    "addr add 2001:db8::5/64 dev br0",
    "route add default via 192.0.2.1",
    "-6 route add default via 2001:db8::1 metric 77",
)
LABELLED = ("addr add 192.0.2.5/24 dev br0", "addr add 192.0.2.6/24 dev br0 label br0:1")
BY_LEASE_AND_METRIC = (
    "addr add 192.0.2.5/24 dev br0 metric 100",
    "addr add 2001:db8::5/64 dev br0 metric 333",
    "route add default via 192.0.2.1 metric 100 proto dhcp src 192.0.2.5",
)
OUT_OF_USE = (
    "addr add 192.0.2.5/24 dev br0 preferred_lft 0",
    "addr add 2001:db8::5/64 dev br0 preferred_lft 0",
)
ONE_AFTER_ANOTHER = (
    "addr add 2001:db8::5/64 dev br0",
    "addr add 2001:db8::6/64 dev br0",
    "addr add 192.0.2.5/24 dev br0",
    "addr add 203.0.113.5/24 dev br0",
    "addr add 192.0.2.6/24 dev br0",
)
POINT_TO_POINT = (
    "addr add 192.0.2.5 peer 198.51.100.1/32 dev br0",
    "addr add 2001:db8::5 peer 2001:db8:7::1/128 dev br0",
    "route add default via 198.51.100.1",
    "-6 route add 2001:db8:8::/64 dev br0",
)
MANAGED = (
    # As NetworkManager has it: the route to the network is its own, and says that it is the kernel's.
    "addr add 192.0.2.5/24 dev br0 noprefixroute",
    "route add 192.0.2.0/24 dev br0 proto kernel scope link src 192.0.2.5 metric 425",
    "route add default via 192.0.2.1 proto dhcp metric 425",
    "addr add 2001:db8::5/64 dev br0 noprefixroute nodad",
    "-6 route add 2001:db8::/64 dev br0 proto kernel metric 425",
    "-6 route add default via fe80::1 dev br0 metric 425",
)
LINK_LOCAL = ("addr add 169.254.7.1/16 dev br0 scope link", "addr add fe80::1/64 dev br0")
STATIC = (
    "addr add 192.0.2.5/24 dev br0",
    "route add 10.8.0.0/16 dev br0 scope link",
    "route add 10.9.0.0/16 via 10.8.0.1 metric 5",
    "route add 10.10.0.0/16 via 172.16.0.1 dev br0 onlink mtu 1400 advmss 1200",
    "route add 10.11.0.0/16 via 192.0.2.1 table 500 src 192.0.2.5",
    "-6 route add 2001:db8:8::/64 dev br0",
    "-6 route add 2001:db8:9::/64 via 2001:db8:8::1 mtu 1400",
    "-6 route add 2001:db8:a::/64 via 2001:db8:8::1 table 500",
)


@pytest.fixture
def network():
    """A bridge br0 with a card in it, and beside it br-x, which may take its place."""
    with namespace() as host, namespace() as far, inside(host):
        (IPV6 / "default/dad_transmits").write_text("0")
        for card, peer in (("eth0", "far0"), ("br-x", "far1")):
            ip("link", "add", card, "address", MAC, "type", "veth", "peer", "name", peer, "netns", far)
            ip("-n", far, "link", "set", peer, "up")
            ip("link", "set", card, "up")
        ip("link", "add", "br0", "address", MAC, "type", "bridge", "mcast_snooping", "0")
        ip("link", "set", "eth0", "master", "br0")
        ip("link", "set", "br0", "up")
        settled("br0")
        settled("br-x")
        network = HostNetwork()
        network.far = far
        yield network


def say(commands):
    for command in commands:
        ip(*command.split())


def picture(device):
    """What `ip` tells of a device, but for what runs on by itself."""
    addresses = ip("-d", "addr", "show", "dev", device)
    routes = [ip("-d", family, "route", "show", "table", "all", "dev", device) for family in ("-4", "-6")]
    told = addresses.partition("\n    inet")
    return re.sub(r"\b\d+sec", "some time", "".join(told[1:])), sorted("".join(routes).splitlines())


def eventually(holds):
    for _ in range(int(PATIENCE_SECONDS / 0.05)):
        if holds():
            return True
        threading.Event().wait(0.05)
    return holds()


def settled(device):
    """Wait until the kernel knows that nobody else has the addresses."""
    assert eventually(lambda: "fe80::" in ip("addr", "show", "dev", device))
    assert eventually(lambda: "tentative" not in ip("addr", "show", "dev", device))


@pytest.mark.parametrize(
    "commands",
    [PLAIN, LABELLED, BY_LEASE_AND_METRIC, OUT_OF_USE, ONE_AFTER_ANOTHER, POINT_TO_POINT, MANAGED, LINK_LOCAL, STATIC],
    ids=["plain", "labelled", "metric", "out of use", "order", "peer", "managed", "link-local", "static"],
)  # fmt: skip
class TestThereAndBack:
    def test_nothing_but_the_devices_name_differs_over_there(self, network, commands):
        say(commands)
        settled("br0")
        before = picture("br0")
        bridge = network.bridges()["br0"]

        network.drop("br0", bridge.addresses)
        assert "inet" not in ip("addr", "show", "dev", "br0")
        network.carry("br-x", bridge.addresses, bridge.routes)

        settled("br-x")
        text, routes = picture("br-x")
        assert (text.replace("br-x", "br0"), routes) == before
        assert picture("br0") == ("", [])

    def test_the_way_back_leaves_exactly_the_same(self, network, commands):
        say(commands)
        settled("br0")
        before = picture("br0")
        bridge = network.bridges()["br0"]
        network.drop("br0", bridge.addresses)
        network.carry("br-x", bridge.addresses, bridge.routes)

        network.remake(bridge)
        network.drop("br-x", bridge.addresses)
        network.carry("br0", bridge.addresses, bridge.routes)

        settled("br0")
        assert picture("br0") == before
        assert network.bridges()["br0"] == bridge

    def test_each_step_may_be_repeated(self, network, commands):
        say(commands)
        settled("br0")
        before = picture("br0")
        bridge = network.bridges()["br0"]

        network.carry("br0", bridge.addresses, bridge.routes)
        assert picture("br0") == before
        for _ in range(2):
            network.drop("br0", bridge.addresses)
        for _ in range(2):
            network.carry("br-x", bridge.addresses, bridge.routes)
        for _ in range(2):
            network.remake(bridge)
            network.drop("br-x", bridge.addresses)
            network.carry("br0", bridge.addresses, bridge.routes)

        settled("br0")
        assert picture("br0") == before


def test_what_the_host_has_on_a_bridge_is_read(network):
    say(PLAIN)
    settled("br0")

    assert network.bridges() == {
        "br0": HostBridge(
            name="br0",
            mac=Mac(MAC),
            mtu=1500,
            members=("eth0",),
            addresses=(
                Address(address="192.0.2.5", prefix_length=24, broadcast="192.0.2.255"),
                Address(address="2001:db8::5", prefix_length=64),
            ),
            routes=(
                Route(family=socket.AF_INET, destination=None, gateway="192.0.2.1", protocol=3),
                Route(family=socket.AF_INET6, destination=None, gateway="2001:db8::1", metric=77, protocol=3),
            ),
        )
    }


def test_lifetimes_go_with_an_address(network):
    say(
        (
            "addr add 192.0.2.5/24 dev br0 valid_lft 1000 preferred_lft 500",
            "addr add 2001:db8::5/64 dev br0 valid_lft 1000 preferred_lft 500",
        )
    )
    bridge = network.bridges()["br0"]

    network.drop("br0", bridge.addresses)
    network.carry("br-x", bridge.addresses, bridge.routes)

    (device,) = json.loads(ip("-j", "addr", "show", "dev", "br-x"))
    told = {
        entry["local"]: (entry["valid_life_time"], entry["preferred_life_time"])
        for entry in device["addr_info"]
        if entry["scope"] == "global"
    }
    assert set(told) == {"192.0.2.5", "2001:db8::5"}
    for valid, preferred in told.values():
        assert 900 < valid <= 1000
        assert 400 < preferred <= 500


def test_ipv6_addresses_are_of_use_at_once(network):
    say(PLAIN)
    settled("br0")
    (IPV6 / "br-x/dad_transmits").write_text("1")
    bridge = network.bridges()["br0"]

    network.drop("br0", bridge.addresses)
    network.carry("br-x", bridge.addresses, bridge.routes)

    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        probe.connect(("2001:db8:ffff::1", 9))
        assert probe.getsockname()[0] == "2001:db8::5"


def test_a_route_moves_even_while_it_stands_over_the_other_device(network):
    say(PLAIN)
    settled("br0")
    bridge = network.bridges()["br0"]

    network.carry("br-x", bridge.addresses, bridge.routes)

    assert "default via 192.0.2.1 dev br-x" in ip("route")
    assert "default via 2001:db8::1 dev br-x" in ip("-6", "route")
    assert "default" not in ip("route", "show", "dev", "br0") + ip("-6", "route", "show", "dev", "br0")


def test_a_route_of_the_same_metric_over_a_third_device_stays(network):
    ip("link", "add", "eth2", "type", "veth", "peer", "name", "far2")
    say(("link set eth2 up", "link set far2 up", "-6 route add 2001:db8:8::/64 dev eth2"))
    say(("addr add 2001:db8::5/64 dev br0", "-6 route append 2001:db8:8::/64 via 2001:db8::1"))
    bridge = network.bridges()["br0"]

    network.drop("br0", bridge.addresses)
    network.carry("br-x", bridge.addresses, bridge.routes)

    shown = ip("-6", "route", "show", "2001:db8:8::/64")
    assert "dev eth2" in shown
    assert "via 2001:db8::1 dev br-x" in shown


def advertise(namespace, device):
    """A router advertisement: default router for 1800 s, prefix 2001:db8:5::/64 for addresses of the host's own."""
    prefix = struct.pack(
        "!BBBBIII16s", 3, 4, 64, 0xC0, 3600, 1800, 0, socket.inet_pton(socket.AF_INET6, "2001:db8:5::")
    )
    message = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + prefix
    with inside(namespace), socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as raw:
        raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        raw.sendto(message, ("ff02::1", 0, 0, socket.if_nametoindex(device)))


def advertised(namespace, far, device):
    settled(device)
    with inside(namespace):
        settled(far)
    advertise(namespace, far)
    assert eventually(lambda: "2001:db8:5:" in ip("addr", "show", "dev", device))
    settled(device)


def test_what_routers_advertise_is_left_to_them_and_does_not_stay_behind(network):
    advertised(network.far, "far0", "br0")
    assert "default" in ip("-6", "route", "show", "dev", "br0")
    bridge = network.bridges()["br0"]
    assert bridge.routes == ()
    assert bridge.shared_routes == 0

    network.drop("br0", bridge.addresses)
    network.carry("br-x", bridge.addresses, bridge.routes)

    # Neither a default route nor one to the network may lead to the bridge that has no uplink any more.
    assert ip("-6", "route", "show", "dev", "br0") == ""
    assert "2001:db8:5:" in ip("addr", "show", "dev", "br-x")
    advertised(network.far, "far1", "br-x")
    assert "default" in ip("-6", "route", "show", "dev", "br-x")

    network.remake(bridge)
    network.drop("br-x", bridge.addresses)
    network.carry("br0", bridge.addresses, bridge.routes)
    advertised(network.far, "far0", "br0")
    assert "default" in ip("-6", "route", "show", "dev", "br0")
    assert ip("-6", "route", "show", "dev", "br-x") == ""


@pytest.mark.parametrize(
    "command",
    [
        "route add 10.9.0.0/16 nexthop via 192.0.2.1 dev br0 nexthop via 203.0.113.1 dev eth2",
        "-6 route add 2001:db8:9::/64 nexthop via fe80::1 dev br0 nexthop via fe80::1 dev eth2",
        "route add 10.9.0.0/16 via 192.0.2.1 tos 0x10",
        "-6 route add 2001:db8:9::/64 via fe80::1 dev br0 expires 900",
        "-6 route add 2001:db8:9::/64 via fe80::1 dev br0 pref high",
        "route add 10.9.0.0/16 via inet6 fe80::1 dev br0",
    ],
)
def test_a_route_that_would_lose_something_is_counted_and_not_moved(network, command):
    ip("link", "add", "eth2", "type", "veth", "peer", "name", "far2")
    say(("link set eth2 up", "addr add 203.0.113.5/24 dev eth2", "addr add 192.0.2.5/24 dev br0", command))

    bridge = network.bridges()["br0"]

    assert bridge.shared_routes == 1
    assert bridge.routes == ()


def test_a_bridge_that_is_gone_is_made_again_and_has_all_it_had(network):
    say(PLAIN)
    settled("br0")
    before = picture("br0")
    bridge = network.bridges()["br0"]
    ip("link", "del", "br0")

    network.remake(bridge)
    network.join("eth0", "br0")
    network.carry("br0", bridge.addresses, bridge.routes)

    settled("br0")
    assert picture("br0") == before
    assert network.bridges()["br0"] == bridge


def test_a_bridge_without_ipv6_stays_without(network):
    (IPV6 / "br0/disable_ipv6").write_text("1")
    bridge = network.bridges()["br0"]
    assert not bridge.ipv6

    network.remake(bridge)
    network.carry("br0", (), ())

    assert network.bridges()["br0"] == bridge


def test_mac_and_mtu_come_back(network):
    bridge = network.bridges()["br0"]
    ip("link", "set", "br0", "address", "52:54:00:00:00:bb", "mtu", "1400")
    ip("link", "set", "br0", "down")

    network.remake(bridge)

    assert network.bridges()["br0"] == bridge
    assert read_links()["br0"].up


def test_a_card_leaves_and_joins(network):
    steps = [(network.leave, ("eth0",), None), (network.join, ("eth0", "br0"), "br0")]
    for step, arguments, master in [steps[0], *steps, steps[1]]:
        step(*arguments)
        assert read_links()["eth0"].master == master


def test_a_device_that_is_gone_has_nothing_to_be_taken_from_and_can_carry_nothing(network):
    network.leave("tap9")
    network.join("tap9", "br0")
    network.drop("tap9", (Address(address="192.0.2.5", prefix_length=24),))
    with pytest.raises(RetryableError, match="br-y"):
        network.carry("br-y", (), ())


def test_what_is_stacked_on_a_bridge_is_named(network):
    if not can_make_vlan_devices():
        pytest.skip("this kernel has no VLAN devices")
    ip("link", "add", "br0.7", "link", "br0", "type", "vlan", "id", "7")

    assert network.bridges()["br0"].stacked == ("br0.7",)


def test_an_address_that_is_preferred_longer_than_it_is_valid_is_given_all_the_same(network):
    odd = Address(address="192.0.2.5", prefix_length=24, valid=100, preferred=500)

    network.carry("br-x", (odd, replace(odd, address="192.0.2.6", preferred=None)), ())

    assert ip("addr", "show", "dev", "br-x").count("valid_lft 100sec preferred_lft 100sec") == 2
