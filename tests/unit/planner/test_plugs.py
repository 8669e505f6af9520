# SPDX-License-Identifier: Apache-2.0
"""From wanted and observed plugs to steps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyvisor.model.attachment import Attachment, Plug
from anyvisor.model.kinds import AttachmentKind
from anyvisor.model.names import HostName, Mac, NetworkName, PortName
from anyvisor.model.vnic import Vnic
from anyvisor.planner.plugs import found_devices, integration_plugs, plug_steps
from anyvisor.testing.switch import FakeSwitch

ports = st.sampled_from(["a", "b", "c", "d"])


@st.composite
def worlds(draw):
    """Ports with devices; no two ports share one."""
    names = draw(st.lists(ports, unique=True))
    devices = draw(st.permutations(["tap0", "tap1", "tap2", "tap3"]))
    return {
        PortName(name): Plug(
            port=PortName(name),
            device=device,
            bridge=draw(st.sampled_from(["br-int", "br-x"])),
            iface_id=name,
            vlan=draw(st.sampled_from([None, 7])),
        )
        for name, device in zip(names, devices, strict=False)
    }


@given(wanted=worlds(), there=worlds())
def test_carrying_out_a_plan_reaches_what_is_wanted_and_then_has_nothing_to_do(wanted, there):
    switch = FakeSwitch(bridges=["br-int", "br-x"])
    switch.plugged = dict(there)

    switch.apply(plug_steps(wanted, switch.observe()))

    assert switch.observe() == wanted
    assert plug_steps(wanted, switch.observe()) == ()


def attachment(port, mac, vm=None):
    return Attachment(
        port=PortName(port),
        host=HostName("kvm1"),
        kind=AttachmentKind.VIF,
        network=NetworkName("web"),
        mac=Mac(mac),
        vm=vm,
    )


def test_a_device_is_found_by_the_ports_identity_before_its_mac():
    vnics = [Vnic(mac=Mac("m1"), device="tap1"), Vnic(mac=Mac("m2"), device="tap2", port=PortName("vm1"))]

    assert found_devices([attachment("vm1", "m1")], vnics).by_port == {"vm1": "tap2"}


def test_a_vnic_without_a_device_is_not_there():
    assert found_devices([attachment("vm1", "m1")], [Vnic(mac=Mac("m1"))]).by_port == {}


M1 = Mac("m1")


def twins(*vms):
    return [Vnic(mac=M1, device=f"vif{number}.0", vm=vm) for number, vm in enumerate(vms, start=1)]


@pytest.mark.parametrize("order", [("web1", "thief"), ("thief", "web1")])
def test_a_second_vm_with_the_mac_of_a_port_does_not_take_it_and_is_named(order):
    found = found_devices([attachment("web", "m1", "web1")], twins(*order))

    mine = f"vif{order.index('web1') + 1}.0"
    assert (found.by_port, found.contested) == ({"web": mine}, {})
    (doubt,) = found.doubts
    assert f"vif{order.index('thief') + 1}.0 of thief" in doubt
    assert f"it stays with {mine}" in doubt


def test_of_vms_that_the_site_does_not_name_the_one_that_has_the_port_keeps_it():
    found = found_devices([attachment("web", "m1")], twins("a", "b"), {PortName("web"): "vif1.0"})

    assert found.by_port == {"web": "vif1.0"}
    assert "it stays with vif1.0" in found.doubts[0]


@pytest.mark.parametrize("vm", [None, "web1"])
@pytest.mark.parametrize("held", [{}, {PortName("web"): "vif9.0"}])
def test_of_several_vms_none_of_which_is_known_nobody_has_the_port(vm, held):
    found = found_devices([attachment("web", "m1", vm)], twins("a", "b"), held)

    assert found.by_port == {}
    assert found.contested == {"vif1.0": "web", "vif2.0": "web"}
    (doubt,) = found.doubts
    assert "vif1.0 of a, vif2.0 of b" in doubt
    assert "ports[].vm" in doubt


def test_of_a_vm_that_is_there_twice_the_one_that_came_last_is_meant():
    """What is left of it still has its vif while it has begun anew."""
    old = {PortName("web"): "vif1.0"}

    found = found_devices([attachment("web", "m1", "web1")], twins("web1", "web1"), old)

    assert (found.by_port, found.doubts) == ({"web": "vif2.0"}, ())


def test_one_vnic_is_taken_by_its_mac_whatever_its_vm_is_called():
    found = found_devices([attachment("web", "m1", "web1")], twins("instance-0001"))

    assert (found.by_port, found.doubts) == ({"web": "vif1.0"}, ())


def carrying(port, device, vm):
    return Vnic(mac=M1, device=device, vm=vm, port=PortName(port))


def test_where_the_hypervisor_carries_the_ports_identity_another_vms_mac_counts_for_nothing():
    vnics = [carrying("web", "tap1", "a"), Vnic(mac=M1, device="tap2", vm="b")]

    found = found_devices([attachment("web", "m1")], vnics)

    assert (found.by_port, found.doubts) == ({"web": "tap1"}, ())


def test_a_clone_that_carries_the_identity_of_a_port_does_not_take_it():
    vnics = [carrying("web", "tap1", "web1"), carrying("web", "tap2", "clone")]

    found = found_devices([attachment("web", "m1", "web1")], vnics)

    assert found.by_port == {"web": "tap1"}
    assert "tap2 of clone" in found.doubts[0]


def test_a_clone_with_the_identity_does_not_take_the_port_from_the_named_vm_that_has_the_mac_alone():
    vnics = [carrying("web", "tap2", "clone"), Vnic(mac=M1, device="tap1", vm="web1")]

    found = found_devices([attachment("web", "m1", "web1")], vnics)

    assert found.by_port == {"web": "tap1"}
    assert "tap2 of clone" in found.doubts[0]


def test_a_vnic_that_carries_the_identity_of_another_port_claims_none_by_its_mac():
    ports = [attachment("web", "m1"), attachment("db", "m2")]

    found = found_devices(ports, [carrying("db", "tap2", "b"), Vnic(mac=M1, device="tap1", vm="a")])

    assert (found.by_port, found.doubts) == ({"web": "tap1", "db": "tap2"}, ())


def test_an_identity_that_is_no_ports_is_libvirts_own_and_the_mac_counts():
    assert found_devices([attachment("web", "m1")], [carrying("6b1f", "tap1", "a")]).by_port == {
        "web": "tap1"
    }


def test_a_plug_carries_the_ports_identity_and_the_guests_mac():
    (plug,) = integration_plugs(
        [attachment("vm1", "m1"), attachment("vm2", "m2")], {PortName("vm1"): "tap1"}
    ).values()

    assert (plug.device, plug.bridge, plug.iface_id, plug.mac) == ("tap1", "br-int", "vm1", "m1")
