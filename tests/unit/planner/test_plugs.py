# SPDX-License-Identifier: Apache-2.0
"""From wanted and observed plugs to steps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyvisor.model.attachment import Attachment, Plug
from anyvisor.model.kinds import AttachmentKind
from anyvisor.model.names import HostName, Mac, NetworkName, PortName
from anyvisor.model.port import Port
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


def attachment(port, mac):
    return Attachment(
        port=PortName(port),
        host=HostName("kvm1"),
        kind=AttachmentKind.VIF,
        network=NetworkName("web"),
        mac=Mac(mac),
    )


def test_a_device_is_found_by_the_ports_identity_before_its_mac():
    vnics = [Vnic(mac=Mac("m1"), device="tap1"), Vnic(mac=Mac("m2"), device="tap2", port=PortName("vm1"))]

    assert found_devices([attachment("vm1", "m1")], vnics, {}).by_port == {"vm1": "tap2"}


def test_a_vnic_without_a_device_is_not_there():
    assert found_devices([attachment("vm1", "m1")], [Vnic(mac=Mac("m1"))], {}).by_port == {}


M1 = Mac("m1")


def twins(*vms):
    return [Vnic(mac=M1, device=f"vif{number}.0", vm=vm) for number, vm in enumerate(vms, start=1)]


def site_port(vm):
    return {PortName("web"): Port(name=PortName("web"), network=NetworkName("web"), vm=vm)}


@pytest.mark.parametrize("order", [("web1", "thief"), ("thief", "web1")])
def test_a_second_vm_with_the_mac_of_a_port_does_not_take_it_and_is_named(order):
    found = found_devices([attachment("web", "m1")], twins(*order), site_port("web1"))

    assert found.by_port == {"web": f"vif{order.index('web1') + 1}.0"}
    (doubt,) = found.doubts
    assert f"vif{order.index('thief') + 1}.0 of thief" in doubt
    assert "port web stays with web1" in doubt


@pytest.mark.parametrize("ports", [{}, site_port(None), site_port("web1")])
def test_of_several_vms_none_of_which_the_site_names_nobody_has_the_port(ports):
    found = found_devices([attachment("web", "m1")], twins("a", "b"), ports)

    assert found.by_port == {}
    (doubt,) = found.doubts
    assert "vif1.0 of a, vif2.0 of b" in doubt
    assert "ports[].vm" in doubt


def test_of_a_vm_that_is_there_twice_the_one_that_came_last_is_meant():
    """What is left of it still has its vif while it has begun anew."""
    found = found_devices([attachment("web", "m1")], twins("web1", "web1"), site_port("web1"))

    assert (found.by_port, found.doubts) == ({"web": "vif2.0"}, ())


def test_one_vnic_is_taken_by_its_mac_whatever_its_vm_is_called():
    found = found_devices([attachment("web", "m1")], twins("instance-0001"), site_port("web1"))

    assert (found.by_port, found.doubts) == ({"web": "vif1.0"}, ())


def test_where_the_hypervisor_carries_the_ports_identity_another_vms_mac_counts_for_nothing():
    vnics = [Vnic(mac=M1, device="tap1", vm="a", port=PortName("web")), Vnic(mac=M1, device="tap2", vm="b")]

    found = found_devices([attachment("web", "m1")], vnics, {})

    assert (found.by_port, found.doubts) == ({"web": "tap1"}, ())


def test_a_plug_carries_the_ports_identity_and_the_guests_mac():
    (plug,) = integration_plugs(
        [attachment("vm1", "m1"), attachment("vm2", "m2")], {PortName("vm1"): "tap1"}
    ).values()

    assert (plug.device, plug.bridge, plug.iface_id, plug.mac) == ("tap1", "br-int", "vm1", "m1")
