# SPDX-License-Identifier: Apache-2.0
"""How networks reach vNICs over Linux bridges."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyvisor.model.attachment import Attachment
from anyvisor.model.host import Host, NativeSwitch, Nic
from anyvisor.model.kinds import AttachmentKind, Hypervisor, NetworkKind, SwitchKind
from anyvisor.model.names import HostName, Mac, NetworkName, PortName, SwitchName
from anyvisor.model.network import Network
from anyvisor.planner.segments import layout

KVM3 = HostName("kvm3")
NETWORKS = {
    NetworkName(name): Network(name=NetworkName(name), kind=NetworkKind.OVERLAY, physical="fabric", vlan=vlan)
    for name, vlan in {"web": 200, "db": 201}.items()
}
TRUNK = Nic(name="eth0", physical="fabric")


def host(*nics, bridges=()):
    return Host(
        name=KVM3,
        hypervisor=Hypervisor.KVM,
        nics=nics,
        switches=tuple(
            NativeSwitch(name=SwitchName(name), kind=SwitchKind.LINUX_BRIDGE, uplinks=(uplink,))
            for name, uplink in bridges
        ),
    )


def attachment(port, network, kind=AttachmentKind.EXTERNAL):
    return Attachment(
        port=PortName(port),
        host=KVM3,
        kind=kind,
        network=NetworkName(network),
        mac=Mac("52:54:00:00:00:01"),
        vlan=NETWORKS[network].vlan,
    )


def laid_out(there, *attachments, filtering=False, devices=False, present=None):
    return layout(
        there,
        attachments,
        NETWORKS,
        present or {a.port: f"tap-{a.port}" for a in attachments},
        vlan_filtering=filtering,
        vlan_devices=devices,
    )


def bridges(found):
    return [(b.name, b.uplink, b.vlan, b.filtering, b.trunk) for b in found.bridges]


def test_a_card_with_the_networks_access_vlan_needs_nothing_of_the_kernel():
    there = host(
        TRUNK, Nic(name="eth1", physical="fabric", vlan=200), Nic(name="eth2", physical="fabric", vlan=201)
    )

    found = laid_out(there, attachment("a", "web"), attachment("b", "db"))

    assert bridges(found) == [("av-db", "eth2", None, False, ()), ("av-web", "eth1", None, False, ())]
    assert {p.device: (p.bridge, p.vlan) for p in found.plugs.values()} == {
        "tap-a": ("av-web", None),
        "tap-b": ("av-db", None),
    }


def test_one_filtering_bridge_carries_all_networks():
    found = laid_out(host(TRUNK), attachment("a", "web"), attachment("b", "db"), filtering=True, devices=True)

    assert bridges(found) == [("av-eth0", "eth0", None, True, (200, 201))]
    assert {p.vlan for p in found.plugs.values()} == {200, 201}


def test_vlan_devices_make_a_bridge_per_network():
    found = laid_out(host(TRUNK), attachment("a", "web"), attachment("b", "db"), devices=True)

    assert bridges(found) == [("av-db", "eth0", 201, False, ()), ("av-web", "eth0", 200, False, ())]


def test_an_operators_bridge_is_not_made_to_filter():
    there = host(TRUNK, bridges=[("br0", "eth0")])

    found = laid_out(there, attachment("a", "web"), filtering=True, devices=True)

    assert bridges(found) == [("av-web", "eth0", 200, False, ())]


def test_an_operators_bridge_on_the_right_access_card_is_used():
    there = host(Nic(name="eth1", physical="fabric", vlan=200), bridges=[("br7", "eth1")])

    found = laid_out(there, attachment("a", "web"))

    assert [(b.name, b.native) for b in found.bridges] == [("br7", True)]


def test_without_any_way_the_reason_is_told():
    found = laid_out(host(TRUNK), attachment("a", "web"))

    assert found.bridges == ()
    assert "200" in found.problems["a"]


def test_a_card_on_another_wire_is_no_way():
    found = laid_out(host(Nic(name="eth1", physical="dmz", vlan=200)), attachment("a", "web"))

    assert found.problems == {"a": "kvm3 has no network card that leads to fabric"}


def test_the_bridge_is_there_before_the_first_vnic():
    there = host(Nic(name="eth1", physical="fabric", vlan=200))

    found = layout(there, [attachment("a", "web")], NETWORKS, {}, vlan_filtering=False, vlan_devices=False)

    assert [b.name for b in found.bridges] == ["av-web"]
    assert found.plugs == {}


@pytest.mark.parametrize("kind", [k for k in AttachmentKind if k is not AttachmentKind.EXTERNAL])
def test_other_kinds_of_attachment_are_somebody_elses_matter(kind):
    assert laid_out(host(TRUNK), attachment("a", "web", kind), filtering=True).bridges == ()


nics = st.lists(
    st.builds(
        Nic,
        name=st.sampled_from(["eth0", "eth1", "eth2"]),
        physical=st.sampled_from([None, "fabric", "dmz"]),
        vlan=st.sampled_from([None, 200, 201]),
    ),
    unique_by=lambda nic: nic.name,
)
wanted = st.lists(
    st.builds(attachment, st.sampled_from("abcd"), st.sampled_from(["web", "db"])), unique_by=lambda a: a.port
)


@given(nics=nics, wanted=wanted, filtering=st.booleans(), devices=st.booleans(), native=st.booleans())
def test_two_networks_never_share_untagged_frames(nics, wanted, filtering, devices, native):
    there = host(*nics, bridges=[("br0", "eth0")] if native else ())

    found = laid_out(there, *wanted, filtering=filtering, devices=devices)

    network = {a.port: a.network for a in wanted}
    seen = {}
    for port, plug in found.plugs.items():
        assert seen.setdefault((plug.bridge, plug.vlan), network[port]) == network[port]
    assert set(found.plugs) | set(found.problems) == {a.port for a in wanted}
    assert {p.bridge for p in found.plugs.values()} == {b.name for b in found.bridges}
