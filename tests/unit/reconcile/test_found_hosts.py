# SPDX-License-Identifier: Apache-2.0
"""A site that names a manager, networks and VMs' MACs, and not one host: the rest is found."""

from anyvisor.contracts.store import HostReport
from anyvisor.model.host import Host, NativeSwitch, Nic
from anyvisor.model.kinds import Hypervisor, NetworkKind, Scheme, SwitchKind
from anyvisor.model.names import ObjectKey
from anyvisor.model.network import Network, Subnet
from anyvisor.model.port import Port
from anyvisor.model.site import Manager, Site
from anyvisor.model.state import Plugged
from anyvisor.planner.appliances import ApplianceWish
from anyvisor.planner.inner import group_name
from anyvisor.planner.plugs import trunk_plugs
from anyvisor.reconcile.engine import Engine
from anyvisor.reconcile.estate import EstateReconciler
from anyvisor.testing.controller import FakeController
from anyvisor.testing.estate import FakeEstate
from anyvisor.testing.store import FakeStore

VDS = NativeSwitch(name="dvs1", kind=SwitchKind.VDS, version="8.0.0", uplinks=("vmnic0",))
WISH = ApplianceWish(
    template="appliance", networks={"management": "mgmt", "tunnel": "mgmt"}, user_data="#cloud-config"
)


def esx(name, cluster):
    return Host(
        name=name,
        hypervisor=Hypervisor.ESXI,
        version="8.0.3",
        cluster=cluster,
        switches=(VDS,),
        nics=(Nic(name="vmnic0"),),
        facts={"vcenter": True, "edition": "vcf"},
    )


class World:
    """Two clusters, one VM on the first host."""

    def __init__(self):
        self.estate = FakeEstate()
        for host in (esx("esx1", "a"), esx("esx2", "a"), esx("esx3", "b")):
            self.estate.add_host(host)
        for group in ("before", "mgmt"):
            self.estate.add_group("dvs1", group)
        self.estate.add_template("appliance", "esx1")
        self.estate.add_vm("vm1", "esx1", ("dvs1", "before"))
        (card,) = (c for c in self.estate.estate().cards.values() if c.vm == "vm1")
        self.store, self.controller = FakeStore(), FakeController()
        self.site = Site(
            managers={"vc1": Manager(name="vc1", driver="vsphere", url="https://vc1/sdk")},
            networks={
                "web": Network(name="web", kind=NetworkKind.OVERLAY, subnets=(Subnet(cidr="10.1.0.0/24"),))
            },
            ports={"vm1": Port(name="vm1", network="web", vm="vm1", mac=card.mac)},
        )
        self.store.write_site(self.site)
        self.engine = Engine(self.store, self.controller, clock=lambda: 1000.0)
        self.reconciler = EstateReconciler(
            "vc1",
            self.estate,
            self.store,
            wishes=lambda _, hosts: {f"{host}/1": WISH for host in hosts},
            clock=lambda: 1000.0,
        )

    def run(self):
        for _ in range(7):
            self.engine.round((), everything=True)
            state = self.store.snapshot()
            for name, known in state.hosts.items():
                mine = [a for a in state.attachments.values() if a.host == name]
                if known.scheme is Scheme.APPLIANCE and mine:
                    laid = {port: Plugged(device=plug.device) for port, plug in trunk_plugs(mine).items()}
                    self.store.report(HostReport(host=name, carried=Scheme.APPLIANCE, plugged=laid))
            self.controller.is_up = set(state.attachments)
            assert self.reconciler.reconcile().error is None
        self.engine.round((), everything=True)


def test_hosts_and_places_are_found_a_scheme_is_chosen_and_the_vnic_is_wired():
    world = World()
    world.run()

    state = world.store.snapshot()
    assert {name: host.manager for name, host in state.site.hosts.items()} == dict.fromkeys(
        ("esx1", "esx2", "esx3"), "vc1"
    )
    assert state.hosts["esx1"].scheme is Scheme.APPLIANCE
    assert state.placements["vm1"].host == "esx1"
    (card,) = (c for c in world.estate.estate().cards.values() if c.vm == "vm1")
    assert card.backing.group == group_name(state.owner, "vm1")
    assert state.conditions[ObjectKey("port", "vm1")][0].reason == "Up"


def test_appliances_are_made_where_the_vm_may_come_to_be_and_nowhere_else():
    world = World()
    world.run()

    assert set(world.estate.estate().appliances) == {"esx1/1", "esx2/1"}


def test_applying_the_same_file_again_forgets_no_host_and_changes_nothing():
    world = World()
    world.run()
    before = world.store.snapshot()

    assert world.store.write_site(world.site) == ()
    assert world.store.snapshot().site == before.site


def test_a_manager_that_leaves_the_file_takes_its_hosts_along():
    world = World()
    world.run()

    world.store.write_site(Site(networks=world.site.networks))

    assert world.store.snapshot().site.hosts == {}
