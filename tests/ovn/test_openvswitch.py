# SPDX-License-Identifier: Apache-2.0
"""The Open vSwitch driver against a real ovsdb-server and ovs-vswitchd with pretended devices."""

import os
import signal
import time
from dataclasses import replace

import pytest

from anyvisor.drivers.openvswitch.switch import OpenvSwitch
from anyvisor.errors import ForeignObjectError, RetryableError, UnreachableError
from anyvisor.model.attachment import Plug, Unplug
from anyvisor.model.names import HostName, Mac, PortName
from anyvisor.planner.chassis import INTEGRATION_BRIDGE, Chassis, ProviderBridge, chassis_plan, release_keys
from anyvisor.planner.plugs import pair_names
from anyvisor.testing.switch_contract import SwitchContract
from anyvisor.testing.vswitch import vswitch

pytestmark = pytest.mark.ovn

OWNER = "0f0f"
ONE = Plug(port=PortName("vm1"), device="tap1", bridge="br-int", iface_id="vm1", mac=Mac("52:54:00:00:00:01"))
TWO = Plug(port=PortName("vm2"), device="tap2", bridge="br-int", iface_id="vm2", mac=Mac("52:54:00:00:00:02"))
CHASSIS = Chassis(
    host=HostName("kvm1"),
    owner=OWNER,
    remote="tcp:192.0.2.1:6642",
    tunnel_ip="192.0.2.11",
    bridges=(ProviderBridge(name="br-fabric", physical=("fabric",), uplinks=("eth0",)),),
    datapath="dummy",
)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with vswitch(tmp_path_factory.mktemp("ovs")) as switch:
        yield switch


@pytest.fixture
def ovs(running):
    for bridge in running.vsctl("list-br").split():
        running.vsctl("del-br", bridge)
    running.vsctl("clear", "Open_vSwitch", ".", "external_ids")
    running.vsctl("add-br", "br-int", "--", "set", "bridge", "br-int", "datapath_type=dummy")
    running.vsctl("add-port", "br-int", "nova7", "--", "set", "Interface", "nova7",
                  "external_ids:iface-id=somebody", 'external_ids:attached-mac="52:54:00:99:99:99"')  # fmt: skip
    return running


@pytest.fixture
def driver(ovs):
    driver = OpenvSwitch.connect(ovs.remote, owner=lambda: OWNER)
    yield driver
    driver.close()


class TestContract(SwitchContract):
    @pytest.fixture
    def one(self):
        return ONE

    @pytest.fixture
    def two(self):
        return TWO

    @pytest.fixture
    def foreign(self):
        return replace(ONE, device="nova7")


def libvirt_plugs(ovs, device="vnet0", bridge="br-int", mac=ONE.mac):
    ovs.vsctl("add-port", bridge, device, "--", "set", "Interface", device,
              "external_ids:iface-id=6f1e-libvirts-own", f'external_ids:attached-mac="{mac}"')  # fmt: skip


def external_ids(ovs, device):
    return ovs.vsctl("get", "Interface", device, "external_ids")


def test_a_device_that_libvirt_plugged_is_found_by_its_guests_mac_and_bound(ovs, driver):
    libvirt_plugs(ovs)
    assert [(v.mac, v.device) for v in driver.vnics() if v.device == "vnet0"] == [(ONE.mac, "vnet0")]

    driver.apply([replace(ONE, device="vnet0")])

    assert ovs.vsctl("get", "Interface", "vnet0", "external_ids:iface-id") == "vm1"
    assert driver.observe() == {ONE.port: replace(ONE, device="vnet0")}


def test_a_device_that_libvirt_plugged_is_given_back_and_not_removed(ovs, driver):
    libvirt_plugs(ovs)
    before = external_ids(ovs, "vnet0")

    driver.apply([replace(ONE, device="vnet0")])
    driver.apply([Unplug(port=ONE.port, device="vnet0", bridge="br-int")])

    assert external_ids(ovs, "vnet0") == before


def test_a_device_that_libvirt_plugged_into_another_bridge_is_reported(ovs, driver):
    ovs.vsctl("add-br", "br-other", "--", "set", "bridge", "br-other", "datapath_type=dummy")
    libvirt_plugs(ovs, bridge="br-other")

    with pytest.raises(ForeignObjectError, match="br-other"):
        driver.apply([replace(ONE, device="vnet0")])


def xapi_plugs(ovs, device="vif3.0", bridge="br-int", iface="vm1"):
    """What setup-vif-rules and then ovs-xapi-sync leave behind."""
    ovs.vsctl("--may-exist", "add-port", bridge, device, "--", "set", "Interface", device,
              'external_ids:xs-vm-uuid="7b9a"', 'external_ids:xs-vif-uuid="c3f1"',
              'external_ids:xs-network-uuid="90ab"', f'external_ids:attached-mac="{ONE.mac.upper()}"',
              f'external_ids:iface-id="{iface}"')  # fmt: skip


@pytest.mark.parametrize("iface", ["vm1", "c3f1"])
def test_a_vif_that_xapi_plugged_into_the_integration_bridge_is_bound_and_left_as_it_was(ovs, driver, iface):
    xapi_plugs(ovs, iface=iface)
    before = external_ids(ovs, "vif3.0")
    vif = replace(ONE, device="vif3.0")

    driver.apply([vif])
    assert ovs.vsctl("get", "Interface", "vif3.0", "external_ids:iface-id") == "vm1"
    assert driver.observe() == {ONE.port: vif}
    driver.apply([Unplug(port=ONE.port, device="vif3.0", bridge="br-int")])

    assert external_ids(ovs, "vif3.0").lower() == before.lower()
    assert "vif3.0" in ovs.vsctl("list-ports", "br-int").split()


def test_a_vif_that_xapi_moves_away_and_back_is_bound_anew(ovs, driver):
    ovs.vsctl("add-br", "xenbr1", "--", "set", "bridge", "xenbr1", "datapath_type=dummy")
    vif = replace(ONE, device="vif3.0")
    xapi_plugs(ovs)
    driver.apply([vif])

    ovs.vsctl("del-port", "vif3.0")
    xapi_plugs(ovs, bridge="xenbr1", iface="c3f1")
    assert driver.observe() == {}
    with pytest.raises(ForeignObjectError, match="xenbr1"):
        driver.apply([vif])
    ovs.vsctl("del-port", "vif3.0")
    xapi_plugs(ovs)
    driver.apply([vif])

    assert driver.observe() == {ONE.port: vif}


def test_an_emptied_database_is_filled_again_but_for_what_xapi_makes(ovs, driver):
    given = replace(CHASSIS, bridges=(replace(CHASSIS.bridges[0], name="xenbr1", given=True),))
    ovs.vsctl("add-br", "xenbr1", "--", "set", "bridge", "xenbr1", "datapath_type=dummy")
    driver.configure(chassis_plan(given, driver.observe_chassis()).steps)
    before = driver.observe_chassis()
    assert before.settings["ovn-bridge-mappings"] == "fabric:xenbr1"

    for bridge in ("br-int", "xenbr1"):  # as after a boot: it lies in /run
        ovs.vsctl("del-br", bridge)
    ovs.vsctl("clear", "Open_vSwitch", ".", "external_ids")
    plan = chassis_plan(given, driver.observe_chassis())
    driver.configure(plan.steps)
    assert plan.problems == ("there is no bridge xenbr1; XAPI makes it",)
    assert set(driver.observe_chassis().bridges) == {"br-int"}
    ovs.vsctl("add-br", "xenbr1", "--", "set", "bridge", "xenbr1", "datapath_type=dummy")
    driver.configure(chassis_plan(given, driver.observe_chassis()).steps)

    after = driver.observe_chassis()
    assert after.settings == before.settings
    assert after.bridges.keys() == before.bridges.keys()
    assert after.bridges["xenbr1"] == before.bridges["xenbr1"]
    xapi_plugs(ovs)
    driver.apply([replace(ONE, device="vif3.0")])


def test_a_port_of_another_installation_is_foreign(ovs, driver):
    driver.apply([ONE])
    other = OpenvSwitch.connect(ovs.remote, owner=lambda: "another")

    assert other.observe() == {}
    with pytest.raises(ForeignObjectError):
        other.apply([ONE])
    other.close()


def test_a_failed_step_leaves_the_whole_plan_undone(driver):
    with pytest.raises(ForeignObjectError):
        driver.apply([ONE, replace(TWO, device="nova7")])

    assert driver.observe() == {}


def test_a_bridge_that_is_not_there_yet_is_worth_another_try(driver):
    with pytest.raises(RetryableError, match="br-none"):
        driver.apply([replace(ONE, bridge="br-none")])


def test_a_port_is_installed_once_ovn_controller_says_so(ovs, driver):
    driver.apply([ONE, TWO])
    assert driver.installed([ONE.port, TWO.port]) == frozenset()

    ovs.vsctl("set", "Interface", "tap1", "external_ids:ovn-installed=true")

    assert driver.installed([ONE.port, TWO.port]) == {ONE.port}


def test_a_vlan_tag_is_written_and_taken_back(ovs, driver):
    driver.apply([replace(ONE, vlan=7)])
    assert ovs.vsctl("get", "Port", "tap1", "tag") == "7"

    driver.apply([ONE])

    assert ovs.vsctl("get", "Port", "tap1", "tag") == "[]"


def test_a_chassis_is_configured_and_has_nothing_left_to_do(ovs, driver):
    plan = chassis_plan(CHASSIS, driver.observe_chassis())

    driver.configure(plan.steps)

    assert chassis_plan(CHASSIS, driver.observe_chassis()).steps == ()
    assert ovs.vsctl("get", "Open_vSwitch", ".", "external_ids:system-id") == "kvm1"
    assert ovs.vsctl("get", "Open_vSwitch", ".", "external_ids:ovn-bridge-mappings") == '"fabric:br-fabric"'
    assert ovs.vsctl("list-ports", "br-fabric") == "eth0"
    assert ovs.vsctl("get", "Bridge", INTEGRATION_BRIDGE, "fail_mode") == "secure"


def test_a_chassis_is_released_without_a_trace_in_the_settings(ovs, driver):
    ovs.vsctl("set", "Open_vSwitch", ".", "external_ids:ovn-bridge-mappings=old:br-old")
    before = driver.observe_chassis().settings

    driver.configure(chassis_plan(CHASSIS, driver.observe_chassis()).steps)
    assert driver.observe_chassis().settings["ovn-bridge-mappings"] == "fabric:br-fabric,old:br-old"
    driver.configure([release_keys(OWNER, driver.observe_chassis())])

    assert driver.observe_chassis().settings == before


def test_changes_wake_the_subscriber_but_counters_do_not(ovs, driver):
    told = []
    driver.subscribe(lambda: told.append(1))
    told.clear()

    driver.apply([ONE])

    assert told


def test_no_server_is_an_unreachable_one(tmp_path):
    with pytest.raises(UnreachableError):
        OpenvSwitch.connect(f"unix:{tmp_path}/none.sock", owner=lambda: OWNER, timeout_seconds=0.5)


def test_a_switch_that_does_not_act_is_worth_another_try(tmp_path):
    with vswitch(tmp_path) as ovs:
        ovs.vsctl("add-br", "br-int")
        ovs.stop("ovs-vswitchd")
        driver = OpenvSwitch.connect(ovs.remote, owner=lambda: OWNER, timeout_seconds=1.0)

        with pytest.raises(RetryableError, match="did not take"):
            driver.apply([ONE])
        assert driver.observe() == {ONE.port: ONE}
        driver.close()


PAIR = Plug(
    port=PortName("vm3"),
    device=pair_names(PortName("vm3"))[0],
    bridge="br-int",
    iface_id="vm3",
    vlan=101,
    mac=Mac("52:54:00:00:00:03"),
    trunk="br-trunk",
)


@pytest.fixture
def trunked(ovs, driver):
    ovs.vsctl("add-br", "br-trunk", "--", "set", "bridge", "br-trunk", "datapath_type=dummy")
    return driver


class TestPairContract(SwitchContract):
    @pytest.fixture
    def driver(self, trunked):
        return trunked

    @pytest.fixture
    def one(self):
        return PAIR

    @pytest.fixture
    def two(self):
        device = pair_names(PortName("vm4"))[0]
        return replace(PAIR, port=PortName("vm4"), device=device, iface_id="vm4", vlan=102)

    @pytest.fixture
    def foreign(self, ovs):
        ovs.vsctl("add-port", "br-int", PAIR.device, "--", "set", "Interface", PAIR.device, "type=patch",
                  "options:peer=nowhere")  # fmt: skip
        return PAIR


def test_a_vnic_behind_the_trunk_is_an_access_port_and_a_plain_vif(ovs, trunked):
    trunked.apply([PAIR])

    near, far = pair_names(PAIR.port)
    assert ovs.vsctl("get", "Port", far, "tag") == "101"
    assert ovs.vsctl("get", "Interface", near, "external_ids:iface-id").strip('"') == "vm3"
    assert ovs.vsctl("port-to-br", far) == "br-trunk"


def test_half_a_pair_is_made_whole(ovs, trunked):
    trunked.apply([PAIR])
    ovs.vsctl("del-port", pair_names(PAIR.port)[1])

    assert trunked.observe() != {PAIR.port: PAIR}
    trunked.apply([PAIR])

    assert trunked.observe() == {PAIR.port: PAIR}


def test_a_pair_goes_with_both_ends(ovs, trunked):
    trunked.apply([PAIR])

    trunked.apply([Unplug(port=PAIR.port, device=PAIR.device, bridge="br-int")])

    assert trunked.observe() == {}
    assert not set(pair_names(PAIR.port)) & set(ovs.vsctl("list-ports", "br-trunk").split())
    assert not set(pair_names(PAIR.port)) & set(ovs.vsctl("list-ports", "br-int").split())


def test_another_vlan_is_another_pair(ovs, trunked):
    trunked.apply([PAIR])

    trunked.apply([replace(PAIR, vlan=202)])

    assert ovs.vsctl("get", "Port", pair_names(PAIR.port)[1], "tag") == "202"
    assert trunked.observe() == {PAIR.port: replace(PAIR, vlan=202)}


@pytest.fixture(params=["", "a-folder-whose-name-is-longer-than-a-sockets-address" * 3])
def alone(tmp_path, request):
    """A switch of its own, with a driver."""
    with vswitch(tmp_path / request.param) as switch:
        switch.vsctl("add-br", "br-int", "--", "set", "bridge", "br-int", "datapath_type=dummy")
        driver = OpenvSwitch.connect(switch.remote, owner=lambda: OWNER)
        yield switch, driver
        driver.close()


def test_a_switch_whose_daemon_died_is_faulty_though_its_database_answers(alone):
    switch, driver = alone
    assert driver.fault() is None

    os.kill(switch.pid("ovs-vswitchd"), signal.SIGKILL)
    eventually(lambda: driver.fault() is not None)

    assert "nobody listens" in driver.fault()
    assert "br-int" in driver.observe_chassis().bridges


def test_a_switch_whose_daemon_hangs_is_faulty_until_it_goes_on(alone, monkeypatch):
    switch, driver = alone
    monkeypatch.setattr("anyvisor.drivers.openvswitch.openflow._ANSWER_SECONDS", 0.3)

    os.kill(switch.pid("ovs-vswitchd"), signal.SIGSTOP)
    try:
        said = driver.fault()
    finally:
        os.kill(switch.pid("ovs-vswitchd"), signal.SIGCONT)

    assert "ovs-vswitchd hangs" in said
    eventually(lambda: driver.fault() is None)


def test_a_bridge_that_is_not_there_is_no_dead_daemon_for_sure(alone):
    switch, driver = alone
    switch.vsctl("del-br", "br-int")

    assert "could not make br-int" in driver.fault()


@pytest.mark.parametrize("protocols", ["", "OpenFlow10,OpenFlow13,OpenFlow15"])
def test_asking_a_switch_whether_it_works_leaves_nothing_in_its_log(alone, protocols):
    switch, driver = alone
    switch.vsctl("set", "bridge", "br-int", f"protocols=[{protocols}]")
    log = switch.folder / "ovs-vswitchd.log"
    before = log.read_text()

    for _ in range(20):
        assert driver.fault() is None
    switch.run("ovs-appctl", "-t", str(switch.folder / "ovs-vswitchd.ctl"), "vlog/list")

    added = log.read_text().removeprefix(before)
    assert "WARN" not in added, added


def eventually(true):
    give_up = time.monotonic() + 30
    while not true():
        assert time.monotonic() < give_up
        time.sleep(0.05)
