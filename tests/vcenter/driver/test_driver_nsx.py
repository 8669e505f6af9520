# SPDX-License-Identifier: Apache-2.0
"""A vCenter and an NSX side by side: NSX makes segments, the vCenter shows them as port groups and plugs vNICs in.

What NSX does in a vCenter by itself (a port group per segment, a segment port per vNIC) is done here in its stead.
"""

import pytest
from pyVmomi import vim

from anyvisor.drivers.nsx.entity import NsxEntity
from anyvisor.errors import ForeignObjectError, TerminalError
from anyvisor.model.estate import CardProblem, DropGroup, MakeGroup, Plugin
from anyvisor.model.host import Host, NativeSwitch, Nic
from anyvisor.model.kinds import Direction, Hypervisor, NetworkKind, Protocol, Scheme, SwitchKind
from anyvisor.model.names import ObjectKey
from anyvisor.model.network import Network, Subnet
from anyvisor.model.port import Port
from anyvisor.model.security import Rule, SecurityGroup
from anyvisor.model.site import Manager, Site
from anyvisor.planner.inner import network_group_name
from anyvisor.reconcile.engine import Engine
from anyvisor.reconcile.entity import EntityReconciler
from anyvisor.reconcile.estate import EstateReconciler
from anyvisor.testing.controller import FakeController
from anyvisor.testing.nsx import FakeNsx
from anyvisor.testing.nsx.packets import Firewall, Packet
from anyvisor.testing.nsx.server import PASSWORD, USER
from anyvisor.testing.store import FakeStore

FROM_CLIENTS = Rule(direction=Direction.INGRESS, protocol=Protocol.TCP, group="clients")


@pytest.fixture
def data_center(data_center):
    """NSX owns the distributed switch: it has a segment of somebody else's on it, and a VM in that."""
    (switch,) = data_center["datacenters"][0]["distributed_switches"]
    switch["port_groups"].append({"name": "theirs", "backing": "nsx"})
    data_center["datacenters"][0]["vms"].append(
        {"name": "guest", "host": "esx1", "nics": [{"network": "theirs"}]}
    )
    return data_center


@pytest.fixture
def nsx(folder, monkeypatch):
    monkeypatch.setenv("NSX1", f"{USER}:{PASSWORD}")
    running = FakeNsx(folder)
    yield running
    running.close()


@pytest.fixture
def whole(connect, nsx, manager, vc):
    """Everything but agents and chassis."""
    store = FakeStore()
    world = Whole(connect(store.snapshot().owner), store, nsx, manager, vc)
    yield world
    world.entity.close()


class Whole:
    def __init__(self, estate, store, nsx, manager, vc):
        self.estate, self.store, self.nsx, self.vc = estate, store, nsx, vc
        self.manager = Manager(
            name="nsx1",
            driver="nsx",
            url=nsx.url,
            credentials="env:NSX1",
            ca=str(nsx.certificate.certificate),
            transport_zone="tz-vlans",
        )
        self.vcenter = manager
        self.controller = FakeController()
        self.engine = Engine(self.store, self.controller, clock=lambda: 1000.0)
        self.entity = NsxEntity.connect(self.manager, self.store.snapshot().owner)
        self.of_vcenter = EstateReconciler(
            "vc1", estate, self.store, wishes=lambda *_: {}, clock=lambda: 1000.0
        )
        self.of_nsx = EntityReconciler("nsx1", self.entity, self.store)
        self.plugged = {}

    def want(self, *vms):
        cards = {card.vm: card for card in self.estate.estate().cards.values()}
        distributed = NativeSwitch(name="dvs", kind=SwitchKind.VDS, version="7.0.0", uplinks=("vmnic0",))
        hosts = {
            name: Host(
                name=name,
                hypervisor=Hypervisor.ESXI,
                version="8.0.3",
                cluster="C1",
                scheme=Scheme.VENDOR,
                switches=(distributed,),
                nics=(Nic(name="vmnic0", physical="fabric"),),
                facts={"nsx": True},
            )
            for name in ("esx1", "esx2")
        }
        network = Network(
            name="red",
            kind=NetworkKind.VLAN,
            physical="fabric",
            vlan=200,
            subnets=(Subnet(cidr="10.1.0.0/24"),),
        )
        ports = {
            vm: Port(
                name=vm,
                network="red",
                vm=vm,
                host=cards[vm].host,
                mac=cards[vm].mac,
                ips=(f"10.1.0.{number}",),
                security_groups=("servers",) if vm == "web" else ("clients",),
            )
            for number, vm in enumerate(vms, start=11)
        }
        groups = {
            "servers": SecurityGroup(name="servers", rules=(FROM_CLIENTS,)),
            "clients": SecurityGroup(name="clients", rules=()),
        }
        self.store.write_site(
            Site(
                managers={"vc1": self.vcenter, "nsx1": self.manager},
                hosts=hosts,
                networks={"red": network},
                security_groups=groups,
                ports=ports,
            )
        )

    def segments(self):
        return {
            path: held["display_name"]
            for path, held in self.nsx.intent.objects.items()
            if path.startswith("/infra/segments/") and path.count("/") == 3
        }

    def as_nsx_does(self):
        """NSX shows its segments in the vCenter, and has a segment port per vNIC in them."""
        groups = self.vc.all(vim.dvs.DistributedVirtualPortgroup)
        shown = {name: group for name, group in groups.items() if name.startswith("av-")}
        wanted = {name: path for path, name in self.segments().items()}
        for name in wanted.keys() - shown.keys():
            self.vc.add_group(name, dvs="dvs", backingType="nsx", segmentId=wanted[name])
        for name in shown.keys() - wanted.keys():
            self.vc.done(shown[name].Destroy_Task())
        there = {}
        for card in self.estate.estate().cards.values():
            if card.backing is not None and card.backing.group in wanted:
                there[card.mac] = wanted[card.backing.group]
        for mac in self.plugged.keys() - there.keys():
            self.nsx.unplug(self.plugged.pop(mac))
        for mac in there.keys() - self.plugged.keys():
            self.plugged[mac] = self.nsx.plug(there[mac], mac)

    def run(self, looks=6):
        for _ in range(looks):
            self.engine.round((), everything=True)
            looked = self.of_nsx.reconcile()
            # A segment goes once nobody is plugged into it.
            assert looked.error is None or "still plugged" in str(looked.error)
            self.as_nsx_does()
            assert self.of_vcenter.reconcile().error is None
            self.as_nsx_does()
        assert looked.error is None
        self.engine.round((), everything=True)

    def group_of(self, vm):
        return next(c.backing.group for c in self.estate.estate().cards.values() if c.vm == vm)

    def ready(self, vm):
        (condition,) = self.store.snapshot().conditions[ObjectKey("port", vm)]
        return condition.reason

    def said(self, manager):
        return [c.reason for c in self.store.snapshot().conditions[ObjectKey("manager", manager)]]

    def may(self, source, target, port):
        cards = {card.vm: card.mac for card in self.estate.estate().cards.values()}
        addresses = {vm: self.store.snapshot().ports[vm].addresses[0] for vm in (source, target)}
        packet = Packet(protocol="TCP", source=addresses[source], target=addresses[target], target_port=port)
        wall = Firewall(self.nsx.intent)
        return all(
            wall.passes(self.plugged[cards[vm]], packet, way) for vm, way in ((source, "OUT"), (target, "IN"))
        )


def test_vms_end_on_segments_filtered_by_nsx_and_go_back_where_they_were(whole):
    whole.want("web", "db", "guest")
    whole.run()

    name = network_group_name(whole.store.snapshot().owner, "red")
    assert {whole.group_of(vm) for vm in ("web", "db", "guest")} == {name}
    assert {whole.ready(vm) for vm in ("web", "db", "guest")} == {"InVendorsHands"}
    assert whole.may("db", "web", 80)
    assert not whole.may("web", "db", 80)
    assert [whole.said(name) for name in ("vc1", "nsx1")] == [["Driven"], ["Driven"]]

    whole.want()
    whole.run()

    assert (whole.group_of("web"), whole.group_of("guest")) == ("office", "theirs")
    assert whole.segments() == {}
    assert [path for path in whole.nsx.intent.objects if "anyvisor" in path] == []


def test_a_second_look_does_nothing(whole):
    whole.want("web", "db")
    whole.run()
    version = whole.controller.transactions

    assert whole.of_nsx.reconcile().steps == ()
    assert whole.of_vcenter.reconcile().steps == ()
    assert whole.engine.round((), everything=True).changes == ()
    assert whole.controller.transactions == version


def test_the_vcenter_driver_neither_makes_nor_removes_segments_and_plugs_nothing_into_strange_ones(whole):
    whole.want("web")
    whole.run()
    shown = whole.estate.estate()
    (segment,) = [group for group in shown.groups.values() if group.entity]
    guest = next(card for card in shown.cards.values() if card.vm == "guest")

    assert guest.problem is CardProblem.NSX
    with pytest.raises(TerminalError):
        whole.estate.apply([MakeGroup(group=segment)])
    with pytest.raises(ForeignObjectError):
        whole.estate.apply([DropGroup(switch=segment.switch, name=segment.name)])
    web = next(card for card in shown.cards.values() if card.vm == "web")
    with pytest.raises(ForeignObjectError):
        whole.estate.apply([Plugin(card=web.id, switch="dvs", group="theirs")])
