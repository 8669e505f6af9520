# SPDX-License-Identifier: Apache-2.0
"""Values survive the way through a database column, and equal values look the same there."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyvisor.codec.canonical import decode, encode, from_plain, to_plain
from anyvisor.errors import TerminalError
from anyvisor.model.host import Host, NativeSwitch, Nic
from anyvisor.model.kinds import Direction, Hypervisor, Protocol, Scheme, SwitchKind
from anyvisor.model.names import GroupName, HostName, NetworkName
from anyvisor.model.network import ExternalGateway, Subnet
from anyvisor.model.policy import Floor, Policy, Preference
from anyvisor.model.security import PortRange, Rule

TYPES = [Subnet, Nic, NativeSwitch, ExternalGateway, Rule, Policy, Host]


@st.composite
def typed_values(draw: st.DrawFn) -> tuple[type, object]:
    cls = draw(st.sampled_from(TYPES))
    return cls, draw(st.from_type(cls))


finite = st.floats(allow_nan=False, allow_infinity=False)
st.register_type_strategy(float, finite)


@given(typed_values())
def test_every_value_survives_the_way_there_and_back(pair):
    cls, value = pair

    assert decode(cls, encode(value)) == value


@given(typed_values())
def test_the_text_is_canonical(pair):
    _, value = pair
    text = encode(value)

    assert json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False) == text


def test_fields_with_their_default_are_left_out():
    assert encode(Subnet(cidr="10.0.0.0/24")) == '{"cidr":"10.0.0.0/24"}'
    assert encode(Policy()) == "{}"


def test_a_rule_reads_as_in_the_site():
    rule = Rule(
        direction=Direction.INGRESS,
        protocol=Protocol.TCP,
        ports=(PortRange(first=80, last=90),),
        group=GroupName("web"),
    )

    assert (
        encode(rule)
        == '{"direction":"ingress","group":"web","ports":[{"first":80,"last":90}],"protocol":"tcp"}'
    )


def test_a_policy_keeps_the_order_of_preference_and_its_vlans():
    policy = Policy(
        default=Preference(prefer=(Scheme.NIC, Scheme.BASELINE), floor=Floor(controlled=1.0)),
        clusters={"c1": Preference()},
        vlans={"fabric": (200, 299)},
    )

    assert decode(Policy, encode(policy)) == policy


def test_a_whole_number_in_a_float_field_has_one_text_only():
    assert encode(Nic(name="a", speed_gbps=25)) == encode(Nic(name="a", speed_gbps=25.0))


def test_facts_keep_their_types():
    host = Host(
        name=HostName("h"),
        hypervisor=Hypervisor.ESXI,
        switches=(NativeSwitch(name="s", kind=SwitchKind.VDS),),
        facts={"a": 1, "b": 1.0, "c": True, "d": "1"},
    )

    facts = decode(Host, encode(host)).facts

    assert [type(facts[key]) for key in "abcd"] == [int, float, bool, str]


def test_plain_forms_hold_only_what_json_knows():
    plain = to_plain(ExternalGateway(network=NetworkName("ext"), snat=False))

    assert plain == {"network": "ext", "snat": False}
    assert from_plain(ExternalGateway, plain) == ExternalGateway(network=NetworkName("ext"), snat=False)


@pytest.mark.parametrize(
    ("cls", "text", "place"),
    [
        (Subnet, "nonsense", "Subnet: not JSON"),
        (Subnet, "[]", "Subnet: expected an object, got list"),
        (Subnet, "{}", "Subnet.cidr: missing"),
        (Subnet, '{"cidr":1}', "Subnet.cidr: expected str, got int"),
        (Subnet, '{"cidr":"10.0.0.0/8","dhcp":1}', "Subnet.dhcp: expected bool, got int"),
        (Subnet, '{"cidr":"10.0.0.0/8","dns":["a",2]}', "Subnet.dns[1]: expected str, got int"),
        (Subnet, '{"cidr":"10.0.0.0/8","color":2}', "Subnet: unknown field color"),
        (Nic, '{"name":"a","sriov_vfs":true}', "Nic.sriov_vfs: expected int, got bool"),
        (Rule, '{"direction":"up"}', "Rule.direction: 'up' is none of ingress, egress"),
        (Rule, '{"direction":null}', "Rule.direction: None is none of"),
        (Policy, '{"vlans":{"f":[1]}}', "Policy.vlans.f: expected 2 items, got 1"),
        (Policy, '{"clusters":[]}', "Policy.clusters: expected an object, got list"),
        (Policy, '{"default":{"prefer":"nic"}}', "Policy.default.prefer: expected a list, got str"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(cls, text, place):
    with pytest.raises(TerminalError) as caught:
        decode(cls, text)

    assert str(caught.value).startswith(place)
