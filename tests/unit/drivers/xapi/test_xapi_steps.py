# SPDX-License-Identifier: Apache-2.0
"""Making networks, plugging VIFs, giving them back; and what is left when a call is cut short."""

import json
from dataclasses import replace

import pytest

from anyvisor.drivers.xapi import names
from anyvisor.errors import AnyvisorError, ForeignObjectError, RetryableError, TerminalError
from anyvisor.model.estate import (
    DropGroup,
    Giveback,
    Group,
    InnerSwitch,
    MakeGroup,
    MakeSwitch,
    Plugin,
    Terms,
)
from anyvisor.model.kinds import SwitchKind
from anyvisor.testing.xapi.pool import Wired
from anyvisor.testing.xapi.troubles import Trouble

WEB = Group(switch="xenbr1", name="av-8f3a01c2+web", key="network/web", vlan=200)
INT = Group(switch="br-int", name="av-8f3a01c2-br-int", key="integration")
DROP_WEB = DropGroup(switch=WEB.switch, name=WEB.name)
DROP_INT = DropGroup(switch=INT.switch, name=INT.name)
LOCKED = Terms(addresses=("10.1.0.11", "fd00::11"))
BOUND = Terms(iface="port1")


def card(driver, vm="vm1"):
    (found,) = (each for each in driver.estate().cards.values() if each.vm == vm)
    return found


def plugin(driver, group, terms=None, vm="vm1"):
    return Plugin(card=card(driver, vm).id, switch=group.switch, group=group.name, terms=terms)


def giveback(driver, vm="vm1"):
    return Giveback(card=card(driver, vm).id)


def other_config(pool, vm="vm1"):
    return pool.records.row("VIF", pool.vif(vm))["other_config"]


@pytest.fixture
def agents(pool):
    """The agents in both dom0 have made the integration bridge."""
    for dom0 in pool.dom0.values():
        dom0.bridges.add("br-int")


def test_a_network_is_a_vlan_on_every_host(driver, xapi, pool):
    driver.apply([MakeGroup(group=WEB), MakeGroup(group=WEB)])

    assert dict(driver.estate().groups) == {WEB.identity: WEB}
    assert len(pool.records.rows("VLAN")) == 2
    assert {row["tag"] for row in pool.records.rows("VLAN").values()} == {"200"}
    assert xapi.writes == ["network.create", "VLAN.create", "VLAN.create"]


def test_a_host_that_joins_gets_the_vlan_too(driver, pool):
    driver.apply([MakeGroup(group=WEB)])
    pool.add_host("xen3", "eth0", "eth1")
    assert driver.estate().groups[WEB.identity] == replace(WEB, partial=True)

    driver.apply([MakeGroup(group=WEB)])

    assert driver.estate().groups[WEB.identity] == WEB
    assert len(pool.records.rows("VLAN")) == 3


def test_a_host_that_does_not_answer_is_waited_for_by_nobody(driver, pool):
    pool.lose(pool.named("host", "xen2"))

    driver.apply([MakeGroup(group=WEB)])

    assert driver.estate().groups[WEB.identity] == WEB
    pool.lose(pool.named("host", "xen2"), live=True)
    assert driver.estate().groups[WEB.identity].partial


def test_a_network_goes_with_its_vlans(driver, pool):
    before = len(pool.records.rows("network")), len(pool.records.rows("PIF"))
    driver.apply([MakeGroup(group=WEB)])

    driver.apply([DROP_WEB, DROP_WEB])

    assert driver.estate().groups == {}
    assert (len(pool.records.rows("network")), len(pool.records.rows("PIF"))) == before
    assert pool.records.rows("VLAN") == {}


def test_what_a_group_is_for_may_change_but_not_its_vlan(driver):
    driver.apply([MakeGroup(group=WEB), MakeGroup(group=replace(WEB, key="network/other"))])
    assert driver.estate().groups[WEB.identity].key == "network/other"

    with pytest.raises(RetryableError, match="another VLAN"):
        driver.apply([MakeGroup(group=replace(WEB, vlan=201))])


def test_a_vlan_that_somebody_else_has_is_refused(driver, pool, xapi):
    other = pool.add_network("theirs", "xapi9")
    (pif,) = pool.records.where("PIF", host=pool.named("host", "xen1"), device="eth1", physical=True)
    xapi.act("VLAN.create", pif, "200", other)

    with pytest.raises(ForeignObjectError, match="PIF_VLAN_EXISTS"):
        driver.apply([MakeGroup(group=WEB)])


def test_a_network_of_somebody_else_is_neither_taken_nor_removed_nor_used(driver, pool):
    theirs = Group(switch="xenbr1", name="guests", key="network/x", vlan=9)

    for step in (
        MakeGroup(group=theirs),
        DropGroup(switch=theirs.switch, name=theirs.name),
        plugin(driver, theirs),
    ):
        with pytest.raises(ForeignObjectError, match="guests"):
            driver.apply([step])

    assert driver.estate().groups == {}
    assert pool.named("network", "guests")


def test_a_pool_that_obeys_another_controller_is_not_written_to(driver, xapi):
    xapi.act("SDN_controller.introduce", "pssl", "", "0")
    xapi.calls.clear()

    with pytest.raises(ForeignObjectError, match=r"another SDN controller \(pssl\)"):
        driver.apply([MakeGroup(group=INT)])

    assert xapi.writes == []


def test_a_bridge_that_another_network_has_is_refused(driver, pool):
    pool.add_network("by hand", "br-int", managed=False)

    with pytest.raises(ForeignObjectError, match="BRIDGE_NAME_EXISTS"):
        driver.apply([MakeGroup(group=INT)])


def test_what_a_pool_has_not_is_refused(driver):
    inner = InnerSwitch(name="av-inner", kind=SwitchKind.VSS, hosts=("xen1",))

    with pytest.raises(TerminalError, match="not driven that far"):
        driver.apply([MakeSwitch(switch=inner)])
    with pytest.raises(TerminalError, match="no such group"):
        driver.apply([MakeGroup(group=Group(switch="xenbr1", name="t", key="trunk", trunk=True))])
    with pytest.raises(RetryableError, match="no switch xenbr7"):
        driver.apply([MakeGroup(group=replace(WEB, switch="xenbr7"))])
    with pytest.raises(RetryableError, match="no network"):
        driver.apply([plugin(driver, WEB)])


def test_a_vif_is_plugged_while_its_vm_runs_and_given_back_as_it_was(driver, pool):
    before = card(driver)
    driver.apply([MakeGroup(group=WEB), plugin(driver, WEB, LOCKED)])
    taken = card(driver)
    assert (taken.backing.switch, taken.backing.group, taken.taken) == ("xenbr1", WEB.name, True)
    assert (taken.terms, taken.mac, taken.connected) == (LOCKED, before.mac, True)
    bridge = pool.records.row("network", pool.named("network", WEB.name))["bridge"]
    assert pool.wire("vm1").bridge == bridge
    assert pool.wire("vm1").addresses == LOCKED.addresses

    driver.apply([giveback(driver), giveback(driver)])

    assert card(driver) == before
    assert other_config(pool) == {}
    assert (pool.wire("vm1").bridge, pool.wire("vm1").addresses) == ("xenbr1", None)


def test_what_the_operator_had_set_comes_back(driver, pool, xapi):
    vif = pool.vif("vm1")
    xapi.act("VIF.add_to_other_config", vif, "nicira-iface-id", "theirs")
    xapi.act("VIF.set_ipv4_allowed", vif, ["192.0.2.5"])
    xapi.act("VIF.set_locking_mode", vif, "locked")
    before = dict(pool.records.row("VIF", vif))

    driver.apply([MakeGroup(group=WEB), plugin(driver, WEB, LOCKED), giveback(driver)])

    assert pool.records.row("VIF", vif) == before


@pytest.mark.usefixtures("agents")
def test_a_vif_has_its_ports_name_before_it_is_plugged_into_the_integration_bridge(driver, pool):
    driver.apply([MakeGroup(group=INT), MakeGroup(group=INT), plugin(driver, INT, BOUND)])

    assert dict(driver.estate().groups) == {INT.identity: INT}
    assert pool.wire("vm1") == Wired("br-int", "port1")
    assert card(driver).terms == BOUND
    assert not pool.records.row("network", pool.named("network", INT.name))["managed"]

    driver.apply([giveback(driver), DROP_INT])

    assert pool.wire("vm1").bridge == "xenbr1"
    assert other_config(pool) == {}
    assert driver.estate().groups == {}


@pytest.mark.usefixtures("agents")
def test_no_lock_is_ever_in_force_on_the_integration_bridge(driver, pool, xapi):
    direct = []
    plug = pool.plug

    def watched(vif):
        plug(vif)
        wire = pool.wired.get(vif)
        if wire is not None and wire.bridge == "br-int" and wire.direct:
            direct.append(wire)

    pool.plug = watched
    xapi.act("VIF.set_ipv4_allowed", pool.vif("vm1"), ["192.0.2.5"])
    xapi.act("VIF.set_locking_mode", pool.vif("vm1"), "locked")
    driver.apply([MakeGroup(group=INT), MakeGroup(group=WEB), plugin(driver, INT, BOUND)])
    driver.apply([plugin(driver, WEB, LOCKED)])
    driver.apply([plugin(driver, INT, BOUND)])
    driver.apply([giveback(driver)])

    assert direct == []
    assert pool.wire("vm1").addresses == ("192.0.2.5",)


def test_a_vif_whose_host_has_no_integration_bridge_yet_is_tried_again(driver, pool):
    with pytest.raises(RetryableError, match="BRIDGE_NOT_AVAILABLE"):
        driver.apply([MakeGroup(group=INT), plugin(driver, INT, BOUND)])
    # The database says br-int by now; the device is where it was.
    assert card(driver).terms is None

    for dom0 in pool.dom0.values():
        dom0.bridges.add("br-int")
    driver.apply([plugin(driver, INT, BOUND)])

    assert pool.wire("vm1") == Wired("br-int", "port1")
    assert card(driver).terms == BOUND


def test_a_vif_of_a_vm_that_does_not_run_is_plugged_for_when_it_does(driver, pool):
    vm = pool.add_vm("vm3", None, pool.network("", "xenbr1"))
    driver.apply([MakeGroup(group=WEB), plugin(driver, WEB, LOCKED, "vm3")])

    pool.power(vm, pool.named("host", "xen2"))

    assert pool.wire("vm3").addresses == LOCKED.addresses


def test_a_vif_whose_place_is_gone_lets_nothing_pass(driver, pool, xapi):
    vm = pool.add_vm("vm3", pool.named("host", "xen1"), pool.add_network("old", "xapi8"))
    driver.apply([MakeGroup(group=WEB), plugin(driver, WEB, LOCKED, "vm3")])
    xapi.act("network.destroy", pool.named("network", "old"))

    driver.apply([giveback(driver, "vm3"), giveback(driver, "vm3")])

    gone = card(driver, "vm3")
    assert (gone.homeless, gone.connected) == (True, False)
    assert pool.wire("vm3") is None

    driver.apply([plugin(driver, WEB, LOCKED, "vm3")])
    assert (card(driver, "vm3").homeless, card(driver, "vm3").connected) == (False, True)
    assert pool.wire("vm3").addresses == LOCKED.addresses
    assert vm


def test_a_vif_that_somebody_else_moved_away_is_forgotten(driver, pool, xapi):
    driver.apply([MakeGroup(group=WEB), plugin(driver, WEB, LOCKED)])
    xapi.act("VIF.move", pool.vif("vm1"), pool.network("", "xenbr0"))

    driver.apply([])

    assert other_config(pool) == {}
    assert pool.wire("vm1").addresses is None


def test_a_vif_that_another_installation_has_taken_is_left_alone(driver, pool, xapi):
    said = names.Before(owner="somebody else", network="x").text
    xapi.act("VIF.add_to_other_config", pool.vif("vm1"), names.BEFORE, said)

    with pytest.raises(ForeignObjectError, match="another installation"):
        driver.apply([MakeGroup(group=WEB), plugin(driver, WEB, LOCKED)])

    assert json.loads(other_config(pool)[names.BEFORE])["owner"] == "somebody else"
    assert pool.wire("vm1").bridge == "xenbr1"


def test_a_network_in_use_stays_whatever_xapi_would_do(driver, pool):
    driver.apply([MakeGroup(group=WEB), plugin(driver, WEB, LOCKED)])
    pool.power(pool.named("VM", "vm1"), None)

    with pytest.raises(RetryableError, match="in use by VM vm1"):
        driver.apply([DROP_WEB])

    assert pool.vif("vm1")


def test_a_snapshot_keeps_its_vif_when_the_network_goes(driver, pool):
    driver.apply([MakeGroup(group=WEB), plugin(driver, WEB, LOCKED)])
    pool.snapshot(pool.named("VM", "vm1"), "yesterday")
    driver.apply([giveback(driver)])

    driver.apply([DROP_WEB])

    vif = pool.records.row("VIF", pool.vif("yesterday"))
    assert vif["network"] == pool.named("network", "guests")
    assert vif["other_config"] == {}


def test_a_vif_that_bypasses_the_switch_is_refused(driver, pool):
    network = pool.add_network("sriov", "xapi5")
    pool.add_pif(pool.named("host", "xen1"), network, "eth1", sriov_logical_PIF_of=["OpaqueRef:s"])
    pool.add_vm("fast", pool.named("host", "xen1"), network)

    with pytest.raises(TerminalError, match="passthrough"):
        driver.apply([MakeGroup(group=WEB), plugin(driver, WEB, LOCKED, "fast")])


def test_steps_before_one_that_is_refused_stay_done(driver):
    with pytest.raises(RetryableError):
        driver.apply([MakeGroup(group=WEB), MakeGroup(group=replace(WEB, switch="xenbr7", name="x"))])

    assert set(driver.estate().groups) == {WEB.identity}


def life(driver):
    """Everything that is ever written, in turn; each stage may be repeated."""
    yield lambda: [MakeGroup(group=WEB)]
    yield lambda: [plugin(driver, WEB, LOCKED)]
    yield lambda: [MakeGroup(group=INT), plugin(driver, INT, BOUND)]
    yield lambda: [plugin(driver, WEB, LOCKED), DROP_INT]
    yield lambda: [giveback(driver)]
    yield lambda: [DROP_WEB]


def live(driver):
    """Each stage until it succeeds, a few times at most."""
    for stage in life(driver):
        for _ in range(4):
            try:
                driver.apply(stage())
                break
            except AnyvisorError:
                continue
        else:
            driver.apply(stage())


@pytest.mark.usefixtures("agents")
@pytest.mark.parametrize("kind", ["refuse", "half", "cut-before", "cut-after", "ended"])
def test_whatever_fails_half_way_is_taken_up_again_and_nothing_is_left(driver, xapi, pool, kind):
    untouched = {name: len(pool.records.rows(name)) for name in ("network", "PIF", "VLAN", "VIF")}
    before = card(driver)
    xapi.calls.clear()
    live(driver)
    calls = len(xapi.writes)
    assert calls > 30

    for number in range(1, calls + 1):
        xapi.troubles.clear()
        xapi.troubles.add(Trouble(kind=kind, at=number, method=r"(network|VLAN|VIF)\.(?!get_).*"))
        live(driver)
        driver.apply([])

        assert card(driver) == before, number
        assert other_config(pool) == {}, number
        assert driver.estate().groups == {}, number
        assert {name: len(pool.records.rows(name)) for name in untouched} == untouched, number
        assert pool.wire("vm1").bridge == "xenbr1", number
        assert pool.wire("vm1").addresses is None, number
