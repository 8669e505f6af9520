# SPDX-License-Identifier: Apache-2.0
"""An ESXi host without a vCenter, as the driver has it: the contract, cards, counters, the watch, autostart."""

import threading
import time

import pytest
from pyVmomi import vim

from anyvisor.drivers.vsphere.names import KEY_OPTION, OWNER_OPTION, standard_group
from anyvisor.lab.vcenter.client import Counters
from anyvisor.model.estate import Giveback, Health, Pin
from anyvisor.model.kinds import SwitchKind
from anyvisor.model.names import HostName, SwitchName
from anyvisor.testing.estate_contract_standard import StandardContract, StandardSample

ESX = HostName("esx")


def inventory(world):
    nics = [{"network": "VM Network"}]
    machines = [
        {"name": "web", "host": "esx", "nics": nics},
        {"name": "db", "host": "esx", "nics": nics},
        {"name": "fast", "host": "esx", "nics": [{"network": "VM Network", "type": "sriov"}]},
        {"name": "hand", "host": "esx", "nics": nics * 2},
    ]
    lone = world.esxi(name="lone")
    lone["datacenters"][0]["vms"] = machines
    lone["datacenters"][0]["hosts"][0]["pnics"] = [{"name": "vmnic0", "sriov_functions": 4}]
    return lone


@pytest.fixture
def lone(elsewhere, world):
    return elsewhere(inventory(world))


@pytest.fixture
def client(lone, world):
    made = world.Client(lone.vcenter)
    yield made
    made.close()


@pytest.fixture
def card(lone):
    """The first card of a VM."""

    def find(name):
        return min(each for each, shown in lone.estate().cards.items() if shown.vm == name)

    return find


@pytest.fixture
def adopt(client, steps):
    """Somebody makes an appliance of a VM that is there: our marks, and its last card in the trunk."""

    def make(key, native):
        hand = client.vm("hand")
        trunk = client.nics(hand)[-1]
        trunk.backing = vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(deviceName=native)
        marks = [
            vim.option.OptionValue(key=OWNER_OPTION, value=steps.owner),
            vim.option.OptionValue(key=KEY_OPTION, value=key),
        ]
        client.reconfigure(hand, ("edit", trunk), extraConfig=marks)

    return make


def forget_autostart(client):
    auto = client.host("esx").configManager.autoStartManager
    off = vim.host.AutoStartManager.SystemDefaults(enabled=False)
    auto.ReconfigureAutostart(vim.host.AutoStartManager.Config(defaults=off))


@pytest.fixture
def driver(lone):
    return lone


@pytest.fixture
def sample(lone, client, card, adopt, steps):
    def native(switch, group):
        (ours,) = (g for g in lone.estate().groups.values() if (g.switch, g.name) == (switch, group))
        return standard_group(steps.owner, ours.name, ours.key)

    return StandardSample(
        hosts=(ESX, ESX),
        card=card("web"),
        other=card("db"),
        passthrough=card("fast"),
        foreign_switch=SwitchName("vSwitch0"),
        foreign_group="VM Network",
        template="golden",
        networks={},
        move=lambda name, to: None,
        power_off=lambda name: lone.vcenter.control.vm(name, power="dies"),
        unpin=lambda _: forget_autostart(client),
        make_appliance=lambda key, switch, group: adopt(key, native(switch, group)),
    )


class TestContract(StandardContract):
    host = ESX


@pytest.fixture
def appliance(lone, steps, adopt):
    """An appliance that somebody made, its trunk in ours; not pinned yet."""
    lone.apply(
        [
            steps.switch(ESX, kind=SwitchKind.VSS, name=steps.own),
            steps.trunk(switch=steps.own, learns=False, host=ESX),
            steps.group("x", 5, switch=steps.own, host=ESX),
        ]
    )
    adopt("esx/1", "av-8f3a01c2-trunk=")
    return lone


def test_the_host_is_reported_as_one_that_stands_alone(lone):
    (host,) = lone.estate().hosts.values()

    assert (host.name, host.cluster, host.manager) == (ESX, None, "vc1")
    assert (host.facts["vcenter"], host.facts["nsx"]) == (False, False)
    assert [(switch.name, switch.kind) for switch in host.switches] == [("vSwitch0", SwitchKind.VSS)]
    assert [(nic.name, nic.sriov_vfs) for nic in host.nics] == [("vmnic0", 4)]


def test_an_appliance_made_by_hand_starts_with_its_host_once_it_is_pinned(appliance, client):
    control = appliance.vcenter.control

    def health():
        return appliance.estate().appliances["esx/1"].health

    control.host("esx", power="dies")
    control.host("esx", power="returns")
    assert health() is Health.OFF, "nobody said that it should start"

    appliance.apply([Pin(key="esx/1")])
    assert control.pins()["autostart"] == {"esx": ["hand"]}
    control.host("esx", power="dies")
    assert health() is Health.LOST
    control.host("esx", power="returns")

    assert health() in {Health.RUNNING, Health.STARTING}
    auto = client.host("esx").configManager.autoStartManager.config
    assert [(info.key.name, info.startOrder) for info in auto.powerInfo] == [("hand", 1)]


def test_what_people_start_with_their_host_goes_on_to_start(appliance, client):
    auto = client.host("esx").configManager.autoStartManager
    theirs = vim.host.AutoStartManager.AutoPowerInfo(
        key=client.vm("db"),
        startOrder=1,
        startDelay=10,
        waitForHeartbeat="no",
        startAction="powerOn",
        stopDelay=-1,
        stopAction="systemDefault",
    )
    auto.ReconfigureAutostart(vim.host.AutoStartManager.Config(powerInfo=[theirs]))
    assert appliance.vcenter.control.pins()["autostart"] == {}

    appliance.apply([Pin(key="esx/1")])

    assert set(appliance.vcenter.control.pins()["autostart"]["esx"]) == {"db", "hand"}


def test_cards_come_back_to_where_they_were_also_after_the_host_was_gone(appliance, steps, card):
    before = appliance.estate().cards[card("web")]
    appliance.apply([steps.plug(card("web"), "x", switch=steps.own)])
    appliance.vcenter.control.host("esx", power="dies")
    appliance.vcenter.control.host("esx", power="returns")
    assert appliance.estate().cards[card("web")].backing.group == "av-8f3a01c2-x"

    appliance.apply([Giveback(card=card("web"))])

    assert appliance.estate().cards[card("web")].backing == before.backing


def test_its_watch_tells_how_the_appliance_stands(appliance, client):
    heard = threading.Event()
    assert set(appliance.estate().appliances) == {"esx/1"}
    with appliance.watch(lambda _: heard.set()):
        client.eventually(lambda: appliance.healths() == {"esx/1": Health.RUNNING})
        heard.clear()
        appliance.vcenter.control.vm("hand", power="dies")
        client.eventually(lambda: appliance.healths() == {"esx/1": Health.OFF})
        assert heard.wait(10)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_what_its_switch_passed_is_in_the_next_samples(appliance, client, steps, card):
    control, web = appliance.vcenter.control, card("web")
    appliance.apply([steps.plug(web, "x", switch=steps.own)])
    key = f"{client.vm('web')._moId}/{web.card}"
    control.push(nics=[Counters(key=key)])
    assert appliance.counters([web])[web].tx_packets == 0
    time.sleep(1)  # rates are made of what is between two moments
    control.push(nics=[Counters(key=key, tx_bytes=20 * 1024 * 50, tx_packets=700)])

    client.eventually(lambda: appliance.counters([web])[web].tx_packets == 700, seconds=60)
