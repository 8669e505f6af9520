# SPDX-License-Identifier: Apache-2.0
"""The kernel's own devlink with its simulated card, in dom0 of the emulated host: cards, functions, representors."""

import json

import pytest

pytestmark = [pytest.mark.xen, pytest.mark.slow, pytest.mark.timeout(1800)]
DEVICE = "netdevsim/netdevsim7"
LOOK = """\
import json
from dataclasses import asdict
from anyvisor.drivers.smartnic.cards import Cards
from anyvisor.drivers.smartnic.devlink import Devlink
from anyvisor.netlink.functions import function_macs
from anyvisor.planner.cards import function_vnics
cards = Cards(Devlink(), macs=function_macs).read()
vnics = [(vnic.mac, vnic.device) for vnic in function_vnics(cards)]
print(json.dumps({"cards": [asdict(card) for card in cards], "vnics": vnics}))
"""


@pytest.fixture
def card(xen):
    """A card with one cable and three functions, in legacy mode."""
    machine = xen.machine
    machine.do("modprobe", "netdevsim")
    machine.do("sh", "-c", "echo '7 1' > /sys/bus/netdevsim/new_device")
    machine.do("sh", "-c", "echo 3 > /sys/bus/netdevsim/devices/netdevsim7/sriov_numvfs")
    yield machine
    machine.do("sh", "-c", "echo 7 > /sys/bus/netdevsim/del_device")


def look(machine):
    said = machine.do("env", "PYTHONPATH=/payload/site", "PYTHONDONTWRITEBYTECODE=1", "python3", "-c", LOOK)
    return json.loads(said)


def test_a_card_in_legacy_mode_is_seen_without_functions(card):
    (found,) = look(card)["cards"]

    assert (found["address"], found["driver"], found["eswitch"]) == (DEVICE, "netdevsim", "legacy")
    assert found["representors"] == []
    assert len(found["ports"]) == 1


def test_in_switchdev_mode_each_function_has_its_representor_and_the_address_that_was_set_for_it(card):
    card.do("devlink", "dev", "eswitch", "set", DEVICE, "mode", "switchdev")
    (before,) = look(card)["cards"]
    (physical,) = before["ports"]
    assert {r["mac"] for r in before["representors"]} == {None}

    card.do("ip", "link", "set", physical, "vf", "1", "mac", "52:54:00:aa:00:01")
    seen = look(card)

    (found,) = seen["cards"]
    assert found["eswitch"] == "switchdev"
    assert [(r["kind"], r["pf"], r["number"]) for r in found["representors"]] == [
        ("pcivf", 0, number) for number in range(3)
    ]
    assert seen["vnics"] == [["52:54:00:aa:00:01", found["representors"][1]["device"]]]


def test_a_representor_is_a_device_that_the_switch_takes(card):
    card.do("devlink", "dev", "eswitch", "set", DEVICE, "mode", "switchdev")
    device = look(card)["cards"][0]["representors"][0]["device"]
    card.do("/usr/share/openvswitch/scripts/ovs-ctl", "--system-id=random", "start")
    card.do("ovs-vsctl", "add-br", "br-card", "--", "add-port", "br-card", device)
    try:
        assert card.do("ovs-vsctl", "get", "Interface", device, "error").strip() == "[]"
        assert int(card.do("ovs-vsctl", "get", "Interface", device, "ofport")) > 0
    finally:
        card.do("ovs-vsctl", "del-br", "br-card")
