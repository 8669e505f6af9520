# SPDX-License-Identifier: Apache-2.0
"""Whose vNIC a representor is, and what is wrong with a card."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyvisor.model.card import Eswitch, FunctionKind, Representor, SwitchingCard
from anyvisor.model.host import Host, NativeSwitch, Nic
from anyvisor.model.kinds import AttachmentKind, Hypervisor, Scheme, SwitchKind
from anyvisor.model.names import HostName, Mac
from anyvisor.planner.cards import as_its_card, card_problems, function_vnics, in_legacy_mode, serial_of
from anyvisor.planner.chassis import provider_bridges
from anyvisor.planner.facts.vendors import VENDORS, how_to_switch
from anyvisor.planner.schemes import nic
from anyvisor.planner.schemes.load import Load
from anyvisor.planner.schemes.registry import attachment_kind

macs = st.sampled_from([None, *(Mac(f"52:54:00:00:00:0{n}") for n in range(4))])
functions = st.builds(
    Representor,
    device=st.integers(0, 99).map(lambda n: f"pf0vf{n}"),
    kind=st.sampled_from(FunctionKind),
    pf=st.just(0),
    mac=macs,
)
cards = st.lists(
    st.builds(
        SwitchingCard,
        address=st.sampled_from(["pci/1", "pci/2"]),
        serial=st.sampled_from([None, "MT1", "MT2"]),
        eswitch=st.sampled_from(Eswitch),
        representors=st.lists(functions, max_size=5, unique_by=lambda each: each.device).map(tuple),
    ),
    max_size=2,
    unique_by=lambda card: card.address,
)


def host(**card):
    return Host(
        name=HostName("kvm1"), hypervisor=Hypervisor.KVM, nics=(Nic(name="p0", **card),) if card else ()
    )


def card(serial="MT1", eswitch=Eswitch.SWITCHDEV, given=("52:54:00:00:00:01",), driver="mlx5_core"):
    return SwitchingCard(
        address="pci/0000:03:00.0",
        driver=driver,
        serial=serial,
        eswitch=eswitch,
        ports=("p0",),
        representors=tuple(
            Representor(device=f"pf0vf{n}", kind=FunctionKind.VF, pf=0, number=n, mac=mac)
            for n, mac in enumerate(given)
        ),
    )


@given(cards)
def test_a_vnic_is_found_by_an_address_that_one_function_alone_has(listed):
    often = Counter(f.mac for c in listed for f in c.functions if f.mac is not None)

    found = function_vnics(listed)

    assert {vnic.mac for vnic in found} == {mac for mac, times in often.items() if times == 1}
    assert len(found) == len({vnic.mac for vnic in found})


@given(cards)
def test_the_physical_function_of_a_host_is_no_vnic_of_a_vm(listed):
    own = {r.device for c in listed for r in c.representors if r.kind is FunctionKind.PF}
    others = {r.device for c in listed for r in c.functions}

    assert not {vnic.device for vnic in function_vnics(listed)} & (own - others)


def test_a_card_as_the_site_says_has_no_problems():
    assert card_problems(host(dpu="MT1"), [card()]) == ()
    assert serial_of(host(dpu="MT1"), [card()]) == "MT1"


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        ([], "no card that can switch is seen"),
        ([card(serial="MT9")], "the site says that kvm1 has the DPU MT1, but this is MT9"),
        ([card(eswitch=Eswitch.LEGACY)], "pci/0000:03:00.0 is in legacy mode: make its virtual functions"),
        ([card(eswitch=Eswitch.LEGACY, driver="ice")], "remove its virtual functions"),
        ([card(given=())], "no function with a representor"),
        ([card(given=("52:54:00:00:00:01",) * 2)], "2 functions have the address 52:54:00:00:00:01"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do(shown, said):
    (problem,) = card_problems(host(dpu="MT1"), shown)

    assert said in problem


def test_a_card_that_the_site_does_not_mean_may_be_in_legacy_mode():
    management = SwitchingCard(address="pci/0000:41:00.0", eswitch=Eswitch.LEGACY, ports=("eno1",))

    for one in (host(dpu="MT1"), host(switchdev=True)):
        assert card_problems(one, [management, card()]) == ()
        assert not in_legacy_mode(one, [management, card()])
        assert in_legacy_mode(one, [management, card(eswitch=Eswitch.LEGACY)])
    # With nothing to tell them by, each may be the one.
    assert in_legacy_mode(host(dpu="MT1"), [management])


def test_the_serial_of_another_card_is_not_taken_for_the_one_of_the_site():
    assert serial_of(host(dpu="MT1"), [card(serial="MT2"), card(serial="MT1")]) == "MT1"
    assert serial_of(host(dpu="MT1"), [card(serial=None)]) == "MT1"
    assert serial_of(host(), [card(serial="MT2")]) == "MT2"
    assert serial_of(host(), []) is None


@pytest.mark.parametrize("driver", [*VENDORS, "unheard_of"])
def test_every_driver_has_a_way_to_be_made_switch(driver):
    assert how_to_switch(driver, "pci/1")


def test_a_function_is_bound_by_its_representor_on_a_dpu_and_as_any_device_on_a_host_that_drives_its_card():
    assert attachment_kind(Scheme.NIC, host(dpu="MT1")) is AttachmentKind.REPRESENTOR
    assert attachment_kind(Scheme.NIC, host(switchdev=True)) is AttachmentKind.VIF


def test_a_dpu_sees_its_own_cables_of_a_host_with_other_cards():
    cable = Nic(name="p0", dpu="MT1", physical="fabric", sriov_vfs=8)
    other = Nic(name="vmnic0", physical="fabric")
    vds = NativeSwitch(name="dvs", kind=SwitchKind.VDS, uplinks=("vmnic0",))
    bridge = NativeSwitch(name="br-ex", kind=SwitchKind.NIC_ESWITCH, uplinks=("p0",))
    host = Host(name="esx5", hypervisor=Hypervisor.ESXI, switches=(vds, bridge), nics=(other, cable))

    seen = as_its_card(host)

    assert (seen.nics, seen.switches) == ((cable,), (bridge,))
    assert [(b.name, b.uplinks) for b in provider_bridges(seen)] == [("br-ex", ("p0",))]


def test_a_host_that_drives_its_card_itself_is_seen_whole():
    host = Host(
        name="kvm1", hypervisor=Hypervisor.KVM, nics=(Nic(name="p0", switchdev=True), Nic(name="eth1"))
    )

    assert as_its_card(host) is host


def test_no_bridge_on_the_card_of_a_pools_host_is_waited_for():
    eswitch = NativeSwitch(name="br-ex", kind=SwitchKind.NIC_ESWITCH, uplinks=("p0",))
    own = NativeSwitch(name="xenbr0", kind=SwitchKind.OPENVSWITCH, uplinks=("eth0",))
    xen = Host(
        name=HostName("xen1"),
        hypervisor=Hypervisor.XEN,
        version="8.3.0",
        switches=(eswitch, own),
        nics=(Nic(name="p0", dpu="MT1", physical="fabric"), Nic(name="eth0", physical="lan")),
        facts={"toolstack": "xapi"},
    )

    assert {bridge.name: bridge.given for bridge in provider_bridges(xen)} == {"br-ex": False, "xenbr0": True}


@pytest.mark.parametrize("carried", [None, Scheme.NIC])
def test_the_plan_says_how_many_vnics_have_no_function(carried):
    one = host(dpu="MT1", sriov_vfs=4)

    def waits(ports):
        load = Load(local={"web": ports})
        return [step.what for step in nic.steps(one, load, carried) if "without one" in step.what]

    assert waits(4) == []
    assert waits(6) == ["p0 offers 4 virtual functions: 2 vNICs without one"]
