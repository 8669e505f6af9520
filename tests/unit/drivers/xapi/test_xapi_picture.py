# SPDX-License-Identifier: Apache-2.0
"""What the driver makes of the records of a pool, and how it keeps up with them."""

import threading
from pathlib import Path

import pytest

from anyvisor.drivers.xapi.estate import XapiEstate
from anyvisor.drivers.xapi.feed import Feed
from anyvisor.drivers.xapi.hosts import host_names
from anyvisor.drivers.xapi.rights import RIGHTS
from anyvisor.drivers.xapi.watcher import Watcher
from anyvisor.errors import UnreachableError
from anyvisor.model.estate import CardProblem, Terms
from anyvisor.model.host import NativeSwitch, Nic
from anyvisor.model.kinds import Hypervisor, SwitchKind
from anyvisor.testing.xapi.pool import Pool, made_mac
from anyvisor.testing.xapi.troubles import Trouble


def card(driver, vm):
    (found,) = (each for each in driver.estate().cards.values() if each.vm == vm)
    return found


def test_a_host_is_shown_with_what_the_planner_asks_for(driver):
    host = driver.estate().hosts["xen1"]

    assert (host.hypervisor, host.version, host.cluster) == (Hypervisor.XEN, "8.3.0", "pool1")
    assert host.switches == (
        NativeSwitch(name="xenbr0", kind=SwitchKind.OPENVSWITCH, uplinks=("eth0",)),
        NativeSwitch(name="xenbr1", kind=SwitchKind.OPENVSWITCH, uplinks=("eth1",)),
    )
    assert host.nics == (Nic(name="eth0", speed_gbps=10.0), Nic(name="eth1", speed_gbps=10.0))
    assert host.facts == {
        "toolstack": "xapi",
        "network_backend": "openvswitch",
        "connection": "connected",
        "maintenance": False,
        "vif_locking": True,
    }


def test_a_bond_is_one_way_out_and_a_vlan_is_none(driver, pool):
    host = pool.add_host("xen3", "eth0", "eth1", "eth2", bond=True)
    (card,) = pool.records.where("PIF", host=host, device="eth0")
    pool.add_pif(host, pool.add_network("vlan", "xapi7"), "eth0", VLAN="7")

    shown = driver.estate().hosts["xen3"]

    assert {switch.name: switch.uplinks for switch in shown.switches} == {
        "xenbr0": ("eth0",),
        "xapi0": ("eth1", "eth2"),
    }
    assert [nic.name for nic in shown.nics] == ["eth0", "eth1", "eth2"]
    assert card


def test_another_sdn_controller_the_backend_and_a_silent_host_are_facts(driver, xapi, pool):
    xapi.act("SDN_controller.introduce", "ssl", "192.0.2.9", "6640")
    pool.switch_backend(pool.named("host", "xen1"), "bridge")
    pool.lose(pool.named("host", "xen2"))

    hosts = driver.estate().hosts

    assert hosts["xen1"].facts["sdn_controller"] == "ssl:192.0.2.9"
    assert hosts["xen1"].facts["vif_locking"] is False
    assert hosts["xen1"].facts["network_backend"] == "bridge"
    assert {switch.kind for switch in hosts["xen1"].switches} == {SwitchKind.LINUX_BRIDGE}
    assert hosts["xen2"].facts["connection"] == "notResponding"


def test_a_licence_without_locks_is_a_fact(servers, manage):
    pool = Pool(restricted=True)
    pool.add_host("xen1", "eth0")
    driver = XapiEstate.connect(manage(servers(pool)), "owner")

    assert driver.estate().hosts["xen1"].facts["vif_locking"] is False
    driver.close()


def test_a_host_whose_label_is_no_name_goes_by_its_own(driver, pool):
    pool.records.change("host", pool.named("host", "xen1"), name_label="the first one!")

    assert set(driver.estate().hosts) == {"xen1", "xen2"}


def test_a_card_is_known_by_its_vm_and_device(driver, pool):
    shown = card(driver, "vm1")

    assert shown.id == (pool.records.row("VM", pool.named("VM", "vm1"))["uuid"], "0")
    assert (shown.host, shown.mac, shown.running) == ("xen1", made_mac("vm1", 0), True)
    assert (shown.backing.switch, shown.backing.group) == ("xenbr1", "guests")
    assert shown.terms == Terms()


def test_a_migration_leads_from_one_host_to_the_other(driver, pool):
    vm, there = pool.named("VM", "vm1"), pool.named("host", "xen2")
    before = card(driver, "vm1").id

    pool.begin_move(vm, there)
    assert (card(driver, "vm1").host, card(driver, "vm1").moving_to) == ("xen1", "xen2")
    pool.finish_move(vm)

    assert (card(driver, "vm1").host, card(driver, "vm1").moving_to) == ("xen2", None)
    assert card(driver, "vm1").id == before


def test_a_vm_that_halts_stays_where_it_was_seen(driver, pool):
    assert card(driver, "vm2").host == "xen2"

    pool.power(pool.named("VM", "vm2"), None)

    assert (card(driver, "vm2").host, card(driver, "vm2").running) == ("xen2", False)
    pool.add_vm("vm3", None, pool.network("", "xenbr1"))
    assert card(driver, "vm3").host == "xen1"  # the master's, for want of a better one


def test_snapshots_templates_and_dom0_have_no_cards(driver, pool):
    pool.snapshot(pool.named("VM", "vm1"), "before the upgrade")
    pool.add_vm("template", None, pool.network("", "xenbr1"), is_a_template=True)
    pool.add_vm("dom0", pool.named("host", "xen1"), pool.network("", "xenbr0"), is_control_domain=True)

    assert {each.vm for each in driver.estate().cards.values()} == {"vm1", "vm2"}


def test_a_vif_on_a_virtual_function_bypasses_the_switch(driver, pool):
    network = pool.add_network("sriov", "xapi5")
    pool.add_pif(pool.named("host", "xen1"), network, "eth1", sriov_logical_PIF_of=["OpaqueRef:s"])
    pool.add_vm("fast", pool.named("host", "xen1"), network)

    assert card(driver, "fast").problem is CardProblem.PASSTHROUGH


def test_networks_of_one_name_are_told_apart(driver, pool):
    other = pool.add_network("guests", "xapi6")
    pool.add_vm("vm3", pool.named("host", "xen1"), other)

    names = {card(driver, vm).backing.group for vm in ("vm1", "vm3")}

    assert len(names) == 2
    assert all(name.startswith("guests (") for name in names)


def test_nothing_new_is_the_same_picture(driver):
    assert driver.estate() is driver.estate()


def test_what_was_lost_is_asked_for_anew(driver, xapi, pool):
    driver.estate()
    xapi.forget_events()
    pool.power(pool.named("VM", "vm1"), None)

    assert not card(driver, "vm1").running


def test_after_another_login_everything_is_asked_for_anew(driver, xapi, pool):
    before = driver.estate()
    pool.power(pool.named("VM", "vm1"), None)
    xapi.end_sessions()

    assert not card(driver, "vm1").running
    assert driver.estate() == before or len(driver.estate().cards) == 2


def test_a_miscount_is_noticed(xapi, sessions, pool):
    session = sessions(xapi)
    feed = Feed(session)
    feed.changes()
    vm = pool.named("VM", "vm1")
    feed.pool.take([{"class": "vm", "operation": "del", "ref": vm}])

    heard = feed.changes()

    assert heard.anew
    assert feed.pool.row("VM", vm) is not None


def test_what_was_known_stays_known_while_nobody_answers(xapi, sessions):
    session = sessions(xapi)
    feed = Feed(session)
    feed.changes()
    xapi.troubles.add(Trouble(kind="refuse", times=3, code=("HOST_STILL_BOOTING",)))

    for _ in range(3):
        with pytest.raises(UnreachableError, match="booting"):
            feed.changes()

    assert len(feed.pool.rows("VM")) == 2
    assert not feed.changes().anew


def test_watchers_hear_of_both_ends_of_a_migration(driver, pool):
    heard, rang = set(), threading.Event()

    def notify(hosts):
        heard.update(hosts)
        if {"xen1", "xen2"} <= heard:
            rang.set()

    with driver.watch(notify):
        pool.begin_move(pool.named("VM", "vm1"), pool.named("host", "xen2"))
        pool.finish_move(pool.named("VM", "vm1"))
        assert rang.wait(20)


def test_a_watch_outlives_a_session_that_ends(driver, xapi, pool):
    rang = threading.Event()
    with driver.watch(lambda hosts: rang.set() if "xen2" in hosts else None):
        assert rang.wait(20)  # everything is news at first
        rang.clear()
        xapi.end_sessions()
        pool.power(pool.named("VM", "vm2"), None)
        assert rang.wait(20)


def test_an_account_that_may_not_do_everything_is_told_what_it_lacks(driver, xapi):
    assert driver.missing_rights() == ()

    xapi.rights = ("vif.move", "network.create")
    lacking = {right.name for right in driver.missing_rights()}

    assert "VLAN.create" in lacking
    assert "VIF.move" not in lacking


def test_the_reference_names_every_right():
    reference = (Path(__file__).parents[4] / "docs/reference/xen.md").read_text(encoding="utf-8")

    assert [right for right in RIGHTS if f"| `{right.name}` | {right.purpose} |" not in reference] == []


def test_of_counters_nothing_is_known(driver):
    assert driver.counters([card(driver, "vm1").id]) == {}
    assert driver.healths() == {}


def test_hosts_of_a_pool_never_share_a_name(pool):
    for label in ("one host", "another host"):
        ref = pool.add_host(label, "eth0")
        pool.records.change("host", ref, hostname="localhost")
    rows = pool.records.rows("host")

    class Shown:
        def rows(self, kind):
            return rows

    names = host_names(Shown())

    assert len(set(names.values())) == len(rows) == 4
    assert {names[ref] for ref, row in rows.items() if " " in row["name_label"]} == {
        row["uuid"] for row in rows.values() if " " in row["name_label"]
    }


def test_the_watch_knows_where_to_go_on_once_the_master_is_gone(xapi, sessions):
    session = sessions(xapi)

    class Noted:
        name = "pool1"
        known = ()

        def __getattr__(self, name):
            return getattr(session, name)

        def know(self, addresses):
            self.known = tuple(addresses)
            heard.set()

    heard, noted = threading.Event(), Noted()
    watcher = Watcher(noted, lambda _: None, wait_seconds=0.2)
    watcher.start()
    try:
        assert heard.wait(30)
    finally:
        watcher.stop()

    assert len(noted.known) == 2
