# SPDX-License-Identifier: Apache-2.0
"""The inner switch that an agent makes: each vNIC alone on its VLAN, and the trunk on all of them."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from anyvisor.model.attachment import Attachment
from anyvisor.model.kinds import AttachmentKind
from anyvisor.model.names import HostName, Mac, NetworkName, PortName, SwitchName
from anyvisor.planner.partition import partition, vlans_in

INNER = SwitchName("av-0f0f0f0f")
PORTS = [PortName(f"vm{n}") for n in range(6)]


def attachment(number, kind=AttachmentKind.VLAN_ACCESS, vlan=None):
    return Attachment(
        port=PORTS[number],
        host=HostName("xen1"),
        kind=kind,
        network=NetworkName("web"),
        mac=Mac(f"52:54:00:00:00:0{number}"),
        vlan=vlan if vlan is not None else 100 + number,
    )


worlds = st.fixed_dictionaries(
    {
        "attachments": st.sets(st.integers(0, 5)).map(lambda some: [attachment(n) for n in sorted(some)]),
        "devices": st.sets(st.sampled_from(PORTS)).map(lambda some: {port: f"vif-{port}" for port in some}),
        "laid": st.sets(st.sampled_from(PORTS)),
    }
)


@given(worlds)
def test_a_vnic_is_in_only_if_it_is_wanted_there_and_its_way_is_laid(world):
    found = partition(INNER, trunk="vif9.1", **world)

    wanted = {a.port for a in world["attachments"]}
    assert found.plugs.keys() == wanted & world["devices"].keys() & world["laid"]


@given(worlds)
def test_no_two_vnics_share_a_vlan_and_none_has_the_trunk(world):
    found = partition(INNER, trunk="vif9.1", **world)

    often = Counter(plug.vlan for plug in found.plugs.values())
    assert not often or max(often.values()) == 1
    assert {plug.device for plug in found.plugs.values()}.isdisjoint({"vif9.1"})
    (bridge,) = found.bridges
    assert vlans_in(found.plugs.values(), INNER) <= set(bridge.trunk)


@given(worlds)
def test_the_bridge_filters_and_has_the_trunk_for_its_only_way_out(world):
    (bridge,) = partition(INNER, trunk="vif9.1", **world).bridges

    assert (bridge.name, bridge.uplink, bridge.filtering, bridge.vlan) == (INNER, "vif9.1", True, None)


def test_vnics_of_another_kind_have_no_place_there():
    stranger = attachment(0, kind=AttachmentKind.EXTERNAL, vlan=200)

    found = partition(INNER, [stranger], {PORTS[0]: "vif1.0"}, {PORTS[0]}, "vif9.1")

    assert found.plugs == {}
    assert found.bridges[0].trunk == ()
