# SPDX-License-Identifier: Apache-2.0
"""From wanted and observed plugs to steps."""

from hypothesis import given
from hypothesis import strategies as st

from anyvisor.model.attachment import Attachment, Plug
from anyvisor.model.kinds import AttachmentKind
from anyvisor.model.names import HostName, Mac, NetworkName, PortName
from anyvisor.model.vnic import Vnic
from anyvisor.planner.plugs import devices_by_port, integration_plugs, plug_steps
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

    assert devices_by_port([attachment("vm1", "m1")], vnics) == {"vm1": "tap2"}


def test_a_vnic_without_a_device_is_not_there():
    assert devices_by_port([attachment("vm1", "m1")], [Vnic(mac=Mac("m1"))]) == {}


def test_a_plug_carries_the_ports_identity_and_the_guests_mac():
    (plug,) = integration_plugs(
        [attachment("vm1", "m1"), attachment("vm2", "m2")], {PortName("vm1"): "tap1"}
    ).values()

    assert (plug.device, plug.bridge, plug.iface_id, plug.mac) == ("tap1", "br-int", "vm1", "m1")
