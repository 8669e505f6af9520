# SPDX-License-Identifier: Apache-2.0
"""Looking at what changed in a pool comes to the same as looking at everything."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from anyvisor.model.attachment import Attachment
from anyvisor.model.estate import Backing, Card, CardId, Estate, Group, Terms
from anyvisor.model.host import Host, NativeSwitch, Nic
from anyvisor.model.kinds import AttachmentKind, Hypervisor, NetworkKind, Scheme, SwitchKind
from anyvisor.model.network import Network
from anyvisor.model.parts import Part
from anyvisor.model.port import Port
from anyvisor.model.site import Manager, Site
from anyvisor.model.state import HostState, PortState, State
from anyvisor.planner.estate import estate_plan
from anyvisor.planner.inner import integration_name, network_group_name
from anyvisor.planner.wanted import wanted_of
from anyvisor.reconcile.standing import Standing

OWNER = "0f0f0f0f-1111"
HOSTS, PORTS, NETWORKS = ("xen1", "xen2"), ("web", "db"), ("n1", "n2")
MACS = tuple(f"00:50:56:00:00:0{number}" for number in range(3))
GROUPS = (
    Group(switch="br-int", name=integration_name(OWNER), key="integration"),
    *(
        Group(
            switch="xenbr1",
            name=network_group_name(OWNER, network, "xenbr1"),
            key=f"network/{network}",
            vlan=vlan,
        )
        for network in NETWORKS
        for vlan in (2, 3)
    ),
)
TERMS = (None, Terms(), Terms(iface="web"), Terms(iface="db"), Terms(addresses=("10.0.0.1",)))


def host(name, backend="openvswitch", locking=True):
    kind = SwitchKind.LINUX_BRIDGE if backend == "bridge" else SwitchKind.OPENVSWITCH
    return Host(
        name=name,
        hypervisor=Hypervisor.XEN,
        version="8.3.0",
        cluster="pool1",
        switches=(NativeSwitch(name="xenbr1", kind=kind, uplinks=("eth1",)),),
        nics=(Nic(name="eth1", physical="fabric"),),
        facts={"toolstack": "xapi", "network_backend": backend, "vif_locking": locking},
    )


CHANGES = st.one_of(
    st.tuples(
        st.just("attach"),
        st.sampled_from(PORTS),
        st.sampled_from(HOSTS),
        st.sampled_from(NETWORKS),
        st.sampled_from(MACS),
        st.sampled_from(
            [(AttachmentKind.VIF, None), (AttachmentKind.EXTERNAL, 2), (AttachmentKind.EXTERNAL, 3)]
        ),
    ),
    st.tuples(st.just("detach"), st.sampled_from(PORTS)),
    st.tuples(
        st.just("addresses"), st.sampled_from(PORTS), st.sampled_from([(), ("10.0.0.1",), ("10.0.0.2",)])
    ),
    st.tuples(
        st.just("card"),
        st.sampled_from(["u1", "u2"]),
        st.sampled_from(HOSTS),
        st.sampled_from(MACS),
        st.sampled_from([None, *GROUPS]),
        st.sampled_from(TERMS),
        st.booleans(),
    ),
    st.tuples(st.just("group"), st.sampled_from(GROUPS), st.sampled_from(["there", "partial", "gone"])),
    st.tuples(
        st.just("carried"),
        st.sampled_from(HOSTS),
        st.sampled_from([None, Scheme.BASELINE, Scheme.SEPARATION]),
    ),
    st.tuples(
        st.just("shown"), st.sampled_from(HOSTS), st.sampled_from(["openvswitch", "bridge"]), st.booleans()
    ),
)


class World:
    def __init__(self):
        self.state = State(
            owner=OWNER,
            site=Site(
                managers={"pool1": Manager(name="pool1", driver="xapi")},
                hosts={name: host(name) for name in HOSTS},
                networks={
                    name: Network(name=name, kind=NetworkKind.OVERLAY, physical="fabric") for name in NETWORKS
                },
                ports={name: Port(name=name, network="n1", vm=name) for name in PORTS},
            ),
            hosts={name: HostState(scheme=Scheme.BASELINE) for name in HOSTS},
        )
        self.shown = {name: host(name) for name in HOSTS}
        self.parts = {name: Part() for name in ("attachments", "ports", "cards", "groups")}

    def attach(self, port, place, network, mac, kind):
        made = Attachment(port=port, host=place, kind=kind[0], network=network, mac=mac, vlan=kind[1])
        self.parts["attachments"].put(port, made)
        self.parts["ports"].put(port, PortState(mac=mac))

    def detach(self, port):
        if port in self.parts["attachments"]:
            self.parts["attachments"].remove(port)

    def addresses(self, port, addresses):
        known = self.parts["ports"].get(port)
        if known is not None:
            self.parts["ports"].put(port, replace(known, addresses=addresses))

    def card(self, vm, place, mac, group, terms, taken):
        backing = Backing(switch="xenbr1", kind=SwitchKind.OPENVSWITCH, group="guests")
        if group is not None:
            backing = replace(backing, switch=group.switch, group=group.name)
        made = Card(id=CardId(vm, "0"), mac=mac, vm=vm, host=place, backing=backing, terms=terms, taken=taken)
        self.parts["cards"].put(made.id, made)

    def group(self, group, how):
        if how != "gone":
            self.parts["groups"].put(group.identity, replace(group, partial=how == "partial"))
        elif group.identity in self.parts["groups"]:
            self.parts["groups"].remove(group.identity)

    def carried(self, name, scheme):
        hosts = {**self.state.hosts, name: replace(self.state.hosts[name], carried=scheme)}
        self.state = replace(self.state, hosts=hosts)

    def shown_as(self, name, backend, locking):
        self.shown = {**self.shown, name: host(name, backend, locking)}

    def now(self):
        frozen = {name: part.snapshot() for name, part in self.parts.items()}
        state = replace(self.state, attachments=frozen["attachments"], ports=frozen["ports"])
        return state, Estate(hosts=self.shown, cards=frozen["cards"], groups=frozen["groups"])


@settings(max_examples=150)
@given(st.lists(CHANGES, min_size=1, max_size=25))
def test_looking_at_what_changed_comes_to_the_same_as_looking_at_everything(changes):
    def wanted(state, estate):
        return wanted_of(state, estate, lambda _, __: {})

    world, standing = World(), Standing(wanted, wanted)
    for what, *said in changes:
        getattr(world, "shown_as" if what == "shown" else what)(*said)
        state, estate = world.now()

        view, whole = standing.look(state, estate), estate_plan(wanted(state, estate), estate)

        assert view.plan.steps == whole.steps
        assert view.plan.problems == whole.problems
        assert dict(view.plan.plugged) == dict(whole.plugged)
