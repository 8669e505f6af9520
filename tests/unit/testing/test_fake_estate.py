# SPDX-License-Identifier: Apache-2.0
"""The pretended manager passes the contract, and keeps the rules of a real one."""

from dataclasses import replace

import pytest

from anyvisor.errors import ForeignObjectError, RetryableError, TerminalError, UnreachableError
from anyvisor.model.estate import (
    CardProblem,
    Deploy,
    DropGroup,
    DropSwitch,
    Giveback,
    Group,
    Health,
    InnerSwitch,
    MakeGroup,
    MakeSwitch,
    Plugin,
    Start,
)
from anyvisor.model.host import Host, NativeSwitch
from anyvisor.model.kinds import Hypervisor, SwitchKind
from anyvisor.model.names import HostName, SwitchName
from anyvisor.testing.estate import FakeEstate
from anyvisor.testing.estate_contract import EstateContract, EstateSample
from anyvisor.testing.estate_contract_standard import StandardContract, StandardSample

A, B, OLD = HostName("esx1"), HostName("esx2"), HostName("old1")
DVS, VSS, INNER = SwitchName("dvs1"), SwitchName("vSwitch0"), SwitchName("av-inner")


def esxi(name, version="8.0.3"):
    switches = (
        NativeSwitch(name=DVS, kind=SwitchKind.VDS, version="8.0.0"),
        NativeSwitch(name=VSS, kind=SwitchKind.VSS),
    )
    return Host(name=name, hypervisor=Hypervisor.ESXI, version=version, switches=switches)


@pytest.fixture
def driver():
    fake = FakeEstate()
    for host in (esxi(A), esxi(B), esxi(OLD, "6.5.0")):
        fake.add_host(host)
        fake.add_group(VSS, "VM Network", host=host.name)
    fake.add_group(DVS, "office")
    fake.add_template("golden", A)
    return fake


@pytest.fixture
def sample(driver):
    (card,) = driver.add_vm("web", A, (DVS, "office"))
    (other,) = driver.add_vm("db", B, (DVS, "office"))
    (fast,) = driver.add_vm("fast", A, None)
    driver.change_card(replace(driver.world.card(fast), problem=CardProblem.PASSTHROUGH))

    def move(name, to):
        driver.begin_move(name, to)
        driver.finish_move(name)

    return EstateSample(
        hosts=(A, B),
        card=card,
        other=other,
        passthrough=fast,
        foreign_switch=DVS,
        foreign_group="office",
        template="golden",
        networks={"management": "VM Network", "tunnel": "office"},
        move=move,
        power_off=lambda name: driver.power(name, on=False),
        unpin=driver.unpin,
    )


class TestContract(EstateContract):
    pass


class TestStandardContract(StandardContract):
    host = A

    @pytest.fixture
    def sample(self, driver):
        (card,) = driver.add_vm("web", A, (VSS, "VM Network"))
        (other,) = driver.add_vm("db", A, (VSS, "VM Network"))
        (fast,) = driver.add_vm("fast", A, None)
        driver.change_card(replace(driver.world.card(fast), problem=CardProblem.PASSTHROUGH))

        def make_appliance(key, switch, group):
            driver.add_vm("hand", A, None, (switch, group))
            driver.world.named("hand").appliance = key

        return StandardSample(
            hosts=(A, A),
            card=card,
            other=other,
            passthrough=fast,
            foreign_switch=VSS,
            foreign_group="VM Network",
            template="none",
            networks={},
            move=lambda name, to: None,
            power_off=lambda name: driver.power(name, on=False),
            unpin=driver.unpin,
            make_appliance=make_appliance,
        )


def inner(*hosts, kind=SwitchKind.VDS, version=""):
    return MakeSwitch(switch=InnerSwitch(name=INNER, kind=kind, hosts=hosts, version=version))


def group(name="g", *, host=None, switch=INNER, **more):
    return MakeGroup(group=Group(switch=switch, name=name, key=f"port/{name}", vlan=7, host=host, **more))


def test_the_oldest_host_decides_the_version_of_a_switch(driver):
    driver.apply([inner(A, OLD)])

    assert driver.estate().switches[INNER].version == "6.5.0"
    with pytest.raises(TerminalError, match="cannot learn"):
        driver.apply([group(mac_learning=True)])


def test_a_host_that_is_too_old_cannot_join(driver):
    driver.apply([inner(A, version="7.0.0")])

    with pytest.raises(TerminalError, match="old1 is too old"):
        driver.apply([inner(OLD)])

    assert driver.estate().switches[INNER].hosts == (A,)


def test_a_migration_is_seen_while_it_lasts(driver, sample):
    driver.begin_move("web", B)
    assert (driver.estate().cards[sample.card].host, driver.estate().cards[sample.card].moving_to) == (A, B)

    driver.finish_move("web", success=False)

    assert (driver.estate().cards[sample.card].host, driver.estate().cards[sample.card].moving_to) == (
        A,
        None,
    )


def test_nothing_moves_to_where_its_switch_does_not_reach(driver, sample):
    driver.apply([inner(A), group(), Plugin(card=sample.card, switch=INNER, group="g")])

    with pytest.raises(TerminalError, match="does not reach esx2"):
        driver.begin_move("web", B)


def test_nothing_moves_off_a_standard_switch_without_uplink(driver, sample):
    make = [inner(A, kind=SwitchKind.VSS), group(host=A)]
    driver.apply([*make, Plugin(card=sample.card, switch=INNER, group="g")])
    assert driver.estate().cards[sample.card].backing.port is None

    with pytest.raises(TerminalError, match="virtual intranet"):
        driver.begin_move("web", B)


def test_each_host_has_a_standard_switch_of_its_own_and_groups_of_its_own(driver, sample):
    driver.apply([inner(A, kind=SwitchKind.VSS), inner(B, kind=SwitchKind.VSS), group(host=A), group(host=B)])
    driver.apply([Plugin(card=sample.card, switch=INNER, group="g")])

    assert driver.estate().switches[INNER].hosts == (A, B)
    assert set(driver.estate().groups) == {(INNER, "esx1/g"), (INNER, "esx2/g")}
    with pytest.raises(RetryableError, match="in use"):
        driver.apply([DropGroup(switch=INNER, name="g", host=B), DropGroup(switch=INNER, name="g", host=A)])
    assert set(driver.estate().groups) == {(INNER, "esx1/g")}
    with pytest.raises(TerminalError, match="has a host"):
        driver.apply([group()])
    with pytest.raises(TerminalError, match="another kind"):
        driver.apply([inner(A)])


def test_a_card_whose_place_is_gone_is_disconnected(driver, sample):
    driver.apply([inner(A), group(), Plugin(card=sample.card, switch=INNER, group="g")])
    driver.world.foreign.discard((DVS, "office", None))

    driver.apply([Giveback(card=sample.card)])

    card = driver.estate().cards[sample.card]
    assert (card.connected, card.homeless, card.backing.group) == (False, True, "g")

    driver.apply([group("h"), Plugin(card=sample.card, switch=INNER, group="h")])

    card = driver.estate().cards[sample.card]
    assert (card.connected, card.homeless, card.backing.group) == (True, False, "h")


def test_a_card_that_somebody_took_away_is_left_where_it_is(driver, sample):
    driver.apply([inner(A), group(), Plugin(card=sample.card, switch=INNER, group="g")])
    driver.replug(sample.card, (VSS, "VM Network"))

    driver.apply([Giveback(card=sample.card)])

    assert driver.estate().cards[sample.card].backing.group == "VM Network"


def test_a_name_on_one_distributed_switch_is_taken_on_all(driver):
    with pytest.raises(ForeignObjectError):
        driver.apply([inner(A), group("office")])


def test_a_switch_with_a_group_of_somebody_else_stays(driver):
    driver.apply([inner(A)])
    driver.add_group(INNER, "theirs")

    with pytest.raises(ForeignObjectError):
        driver.apply([DropSwitch(name=INNER)])


def test_a_lost_host_takes_no_orders_and_its_appliance_is_lost(driver, sample):
    trunk = MakeGroup(group=Group(switch=INNER, name="t", key="trunk/esx1", trunk=True, promiscuous=True))
    deploy = Deploy(
        key="k", vm="app", host=A, template="golden", user_data="x", switch=INNER, trunk_group="t"
    )
    driver.apply([inner(A), group(), trunk, deploy])
    driver.lose(A)

    assert driver.estate().appliances["k"].health is Health.LOST
    assert driver.estate().hosts[A].facts["connection"] == "notResponding"
    with pytest.raises(RetryableError, match="does not answer"):
        driver.apply([Plugin(card=sample.card, switch=INNER, group="g")])

    driver.find(A)
    driver.power("app", on=False)
    driver.maintain(A, on=True)
    with pytest.raises(RetryableError, match="maintenance"):
        driver.apply([Start(key="k")])
    assert driver.user_data("k") == "x"


def test_it_can_be_told_to_fail(driver):
    driver.failure = UnreachableError("away")
    with pytest.raises(UnreachableError):
        driver.estate()
    driver.failure = None

    driver.faults.fail(2, UnreachableError("the answer was lost"), after=True)
    with pytest.raises(UnreachableError):
        driver.apply([inner(A), group(), group("late")])
    driver.faults.clear()

    assert set(driver.estate().groups) == {(INNER, "g")}
