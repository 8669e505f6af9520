# SPDX-License-Identifier: Apache-2.0
"""Looking at what changed comes to what looking at everything comes to, whatever there is and whatever changes."""

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from anyvisor.model.attachment import Attachment
from anyvisor.model.condition import Condition
from anyvisor.model.estate import (
    Appliance,
    Backing,
    Card,
    CardId,
    CardProblem,
    Estate,
    Group,
    Health,
    InnerSwitch,
)
from anyvisor.model.host import Host, NativeSwitch
from anyvisor.model.kinds import AttachmentKind, Fallback, Hypervisor, NetworkKind, Scheme, SwitchKind
from anyvisor.model.network import Network
from anyvisor.model.parts import Part
from anyvisor.model.port import Port
from anyvisor.model.site import Site
from anyvisor.model.state import Duty, HostState, Placement, Plugged, PortState, State, Tag
from anyvisor.planner.allocate import network_holder
from anyvisor.planner.appliances import ApplianceWish
from anyvisor.planner.estate import estate_plan
from anyvisor.planner.inner import (
    group_name,
    inner_place,
    network_group_name,
    port_key,
    shared_group_name,
    shared_key,
    trunk_name,
)
from anyvisor.planner.underlay import TRUNK
from anyvisor.planner.wanted import wanted_of
from anyvisor.planner.whereabouts import moved
from anyvisor.reconcile.standing import Standing

OWNER = "0f0f0f0f-1111"
WISH = ApplianceWish(
    template="golden", networks={"management": "m", "tunnel": "m"}, user_data="#cloud-config"
)
HOSTS = ("esx1", "esx2", "old1", "esx3", "esx4", "kvm1")
"""Behind appliances the first three, the first two in one cluster; separated; NSX's; none of a manager."""
MACS = tuple(f"00:50:56:00:00:0{number}" for number in range(4))
NAMES = ("web", "db", "app")
"""Of ports, of VMs, in part the same: problems are told by name."""
NETWORKS = ("n1", "n2")
VLANS = (2, 3)


def described(name):
    if name == "kvm1":
        return Host(name=name, hypervisor=Hypervisor.KVM)
    kind = SwitchKind.VSS if name == "old1" else SwitchKind.VDS
    version = "8.0.0" if kind is SwitchKind.VDS else None
    return Host(
        name=name,
        hypervisor=Hypervisor.ESXI,
        version="8.0.3",
        cluster="c1" if name in {"esx1", "esx2"} else None,
        switches=(NativeSwitch(name="native", kind=kind, version=version, uplinks=("vmnic0",)),),
        facts={"nsx": True} if name == "esx4" else {},
    )


SITE_HOSTS = {name: described(name) for name in HOSTS}
INNER = {name: inner_place(SITE_HOSTS[name], OWNER) for name in HOSTS if name != "kvm1"}


def places():
    """Where cards and groups may be: inner and native switches, by the names that we give, and one of the operator's."""
    found = []
    for host, place in INNER.items():
        own = host if place.kind is SwitchKind.VSS else None
        found += [(place.switch, own, group_name(OWNER, port), port_key(port)) for port in NAMES]
        found.append((place.switch, own, trunk_name(place), "trunk"))
        found += [
            (place.switch, own, shared_group_name(place, network), shared_key(network))
            for network in NETWORKS
        ]
        native = own if host == "old1" else None
        found += [
            ("native", native, network_group_name(OWNER, network), f"network/{network}")
            for network in NETWORKS
        ]
        found.append(("native", None, "office", None))
    return sorted(set(found), key=repr)


PLACES = places()


def wishes(state, hosts):
    return {f"{host}/1": WISH for host in hosts}


def nothing_wished(state, hosts):
    return {}


class Looks(RuleBasedStateMachine):
    """A state and an estate that change in any way. After every change both ways of looking come to the same."""

    def __init__(self):
        super().__init__()
        self.standing = Standing(
            lambda state, estate: wanted_of(state, estate, wishes),
            lambda state, estate: wanted_of(state, estate, nothing_wished),
        )
        self.parts = {
            name: Part()
            for name in (
                "ports",
                "decided",
                "placements",
                "attachments",
                "plugged",
                "tags",
                "cards",
                "groups",
            )
        }
        self.hosts = {name: HostState() for name in HOSTS}
        self.hosts |= {name: HostState(scheme=Scheme.APPLIANCE) for name in ("esx1", "esx2", "old1")}
        self.hosts["esx3"] = HostState(scheme=Scheme.SEPARATION)
        self.hosts["esx4"] = HostState(scheme=Scheme.VENDOR)
        self.shown = {name: SITE_HOSTS[name] for name in HOSTS if name != "kvm1"}
        self.switches = {}
        self.appliances = {}
        self.calm()
        self.before = None
        self.partial = 0

    def calm(self):
        """Everything about hosts is as it is wanted."""
        for name in ("esx1", "esx2", "old1"):
            place = INNER[name]
            members = tuple(host for host in ("esx1", "esx2", "old1") if INNER[host] == place)
            self.switches[place.switch] = InnerSwitch(
                name=place.switch, kind=place.kind, hosts=members, version="8.0.0"
            )
            self.appliances[f"{name}/1"] = Appliance(
                key=f"{name}/1",
                vm=f"av-{name}",
                host=name,
                health=Health.RUNNING,
                instance=f"av-{name}",
                pinned=True,
            )

    def state(self):
        held = {name: part.snapshot() for name, part in self.parts.items()}
        networks = {
            name: Network(
                name=name, kind=NetworkKind.VLAN, fallback=Fallback.OPEN if name == "n1" else Fallback.CLOSED
            )
            for name in NETWORKS
        }
        return State(
            site=Site(hosts=SITE_HOSTS, networks=networks, ports=held["ports"]),
            owner=OWNER,
            hosts=dict(self.hosts),
            ports=held["decided"],
            placements=held["placements"],
            attachments=held["attachments"],
            plugged=held["plugged"],
            tags=held["tags"],
        )

    def estate(self):
        return Estate(
            hosts=dict(self.shown),
            cards=self.parts["cards"].snapshot(),
            groups=self.parts["groups"].snapshot(),
            switches=dict(self.switches),
            appliances=dict(self.appliances),
        )

    def put(self, part, key, value):
        if value is not None:
            self.parts[part].put(key, value)
        elif key in self.parts[part]:
            self.parts[part].remove(key)

    # --- the state ----------------------------------------------------------------------------------------------------

    @rule(
        name=st.sampled_from(NAMES), vm=st.sampled_from((None, *NAMES)), host=st.sampled_from((None, *HOSTS))
    )
    def a_port_is_wanted(self, name, vm, host):
        self.put("ports", name, Port(name=name, network="n1", vm=vm, host=host))

    @rule(name=st.sampled_from(NAMES))
    def a_port_is_not_wanted(self, name):
        self.put("ports", name, None)

    @rule(name=st.sampled_from(NAMES), mac=st.sampled_from((None, *MACS)))
    def a_mac_is_decided(self, name, mac):
        self.put("decided", name, mac and PortState(mac=mac))

    @rule(name=st.sampled_from(NAMES), host=st.sampled_from((None, *HOSTS)))
    def a_vm_is_placed(self, name, host):
        self.put("placements", name, host and Placement(host=host))

    @rule(
        name=st.sampled_from(NAMES),
        host=st.sampled_from(HOSTS),
        kind=st.sampled_from(
            (
                AttachmentKind.VLAN_ACCESS,
                AttachmentKind.EXTERNAL,
                AttachmentKind.CHILD,
                AttachmentKind.ENTITY,
            )
        ),
        shared=st.booleans(),
        network=st.sampled_from(NETWORKS),
        mac=st.sampled_from(MACS),
        vlan=st.sampled_from((None, *VLANS)),
        staged=st.sampled_from((None, "esx1")),
    )
    def a_port_is_attached(self, name, host, kind, network, mac, vlan, staged, shared):
        attachment = Attachment(
            port=name,
            host=host,
            kind=kind,
            network=network,
            mac=mac,
            vlan=vlan,
            staged=staged,
            shared=shared and kind is AttachmentKind.VLAN_ACCESS,
        )
        self.put("attachments", name, attachment)

    @rule(name=st.sampled_from(NAMES))
    def a_port_is_detached(self, name):
        self.put("attachments", name, None)

    @rule(name=st.sampled_from(NAMES), device=st.sampled_from((None, "tap0")))
    def a_way_is_laid(self, name, device):
        self.put("plugged", name, device and Plugged(device=device))

    @rule(
        host=st.sampled_from(("esx1", "old1")),
        vlan=st.sampled_from(VLANS),
        holder=st.sampled_from((None, *NAMES, *(network_holder(network) for network in NETWORKS))),
    )
    def a_tag_changes_hands(self, host, vlan, holder):
        scope = INNER[host].scope
        self.put("tags", (scope, vlan), holder and Tag(scope=scope, vlan=vlan, holder=holder))

    # --- the estate ---------------------------------------------------------------------------------------------------

    @rule(
        instance=st.sampled_from(("v1", "v2", "av-esx1")),
        key=st.sampled_from(("4000", "4001")),
        vm=st.sampled_from(NAMES),
        mac=st.sampled_from(MACS),
        host=st.sampled_from(HOSTS[:5]),
        place=st.sampled_from((None, *PLACES)),
        problem=st.sampled_from((None, None, *CardProblem)),
        homeless=st.booleans(),
        taken=st.booleans(),
    )
    def a_card_is_there(self, instance, key, vm, mac, host, place, problem, homeless, taken):  # noqa: PLR0917 - drawn
        identity = CardId(instance, key)
        backing = place and Backing(switch=place[0], kind=SwitchKind.VDS, group=place[2])
        card = Card(
            id=identity,
            mac=mac,
            vm=vm,
            host=host,
            backing=backing,
            problem=problem,
            homeless=homeless,
            taken=taken,
        )
        self.put("cards", identity, card)

    @rule(instance=st.sampled_from(("v1", "v2", "av-esx1")), key=st.sampled_from(("4000", "4001")))
    def a_card_is_gone(self, instance, key):
        self.put("cards", CardId(instance, key), None)

    @rule(
        place=st.sampled_from([place for place in PLACES if place[3]]),
        vlan=st.sampled_from((None, *VLANS)),
        entity=st.booleans(),
    )
    def a_group_is_there(self, place, vlan, entity):
        switch, host, name, key = place
        group = Group(
            switch=switch,
            name=name,
            key=key,
            vlan=vlan,
            trunk=vlan is None and key == "trunk",
            host=host,
            entity=entity and host is None and key.startswith("network/"),
        )
        self.put("groups", group.identity, group)

    @rule(place=st.sampled_from([place for place in PLACES if place[3]]))
    def a_group_is_gone(self, place):
        switch, host, name, key = place
        self.put("groups", Group(switch=switch, name=name, key=key, host=host).identity, None)

    # --- what all depends on ------------------------------------------------------------------------------------------

    @rule()
    def all_is_well_with_hosts(self):
        self.shown = {name: SITE_HOSTS[name] for name in HOSTS if name != "kvm1"}
        self.hosts |= {name: HostState(scheme=Scheme.APPLIANCE) for name in ("esx1", "esx2", "old1")}
        self.calm()

    @rule(
        host=st.sampled_from(HOSTS[:4]), scheme=st.sampled_from((None, Scheme.APPLIANCE, Scheme.SEPARATION))
    )
    def a_scheme_is_chosen(self, host, scheme):
        self.hosts[host] = HostState(scheme=scheme)

    @rule(host=st.sampled_from(HOSTS[:3]), small=st.booleans())
    def a_trunk_is_looked_at(self, host, small):
        said = Condition(kind=TRUNK, true=not small, reason="TooSmall", message="of 1500 bytes")
        self.hosts[host] = replace(self.hosts[host], conditions=(said,))

    @rule(host=st.sampled_from(HOSTS[:3]))
    def an_appliance_is_out(self, host):
        duty = Duty(out=True, since=1, reason="Dead")
        self.hosts[host] = replace(self.hosts[host], duties={1: duty})

    @rule(host=st.sampled_from(HOSTS[:4]), connection=st.sampled_from((None, "connected", "notResponding")))
    def a_host_is_shown_or_not(self, host, connection):
        self.shown.pop(host, None)
        if connection:
            self.shown[host] = replace(SITE_HOSTS[host], facts={"connection": connection})

    @precondition(lambda self: self.appliances)
    @rule(data=st.data())
    def an_appliance_is_gone(self, data):
        del self.appliances[data.draw(st.sampled_from(sorted(self.appliances)))]

    # --- looking ------------------------------------------------------------------------------------------------------

    @invariant()
    def both_looks_come_to_the_same(self):
        state, estate = self.state(), self.estate()
        view = self.standing.look(state, estate)
        self.partial += not view.full
        plan = estate_plan(wanted_of(state, estate, wishes), estate)
        assert view.plan.steps == plan.steps
        assert dict(view.plan.cards) == plan.cards
        assert dict(view.plan.plugged) == plan.plugged
        assert view.plan.problems == plan.problems
        assert dict(view.plan.cautions) == plan.cautions
        assert dict(view.plan.held) == plan.held
        told = {
            "moved": moved(state, estate),
            "plugged": plan.plugged,
            "problems": {port: plan.problems.get(port) for port in state.attachments},
        }
        if self.before is not None:
            self.nothing_new_is_left_out(told, view)
        self.before = told

    def nothing_new_is_left_out(self, told, view):
        news = moved(view.state, view.estate)
        fresh = {
            port: place for port, place in told["moved"].items() if self.before["moved"].get(port) != place
        }
        assert fresh.items() <= news.items() <= told["moved"].items()
        schemes = self.standing.schemes
        for port, attachment in self.parts["attachments"].items():
            for what in ("plugged", "problems"):
                if attachment.host in schemes and told[what].get(port) != self.before[what].get(port):
                    assert attachment.host in view.hosts


TestLooks = pytest.mark.filterwarnings("error")(Looks.TestCase)
TestLooks.settings = settings(max_examples=40, stateful_step_count=40)
