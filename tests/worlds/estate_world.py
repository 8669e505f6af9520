# SPDX-License-Identifier: Apache-2.0
"""Two ESXi hosts under one manager that is pretended, with the engine that decides: shared by several files of tests."""

from dataclasses import replace

from anyvisor.contracts.store import HostReport
from anyvisor.model.host import Host, NativeSwitch, Nic
from anyvisor.model.kinds import Hypervisor, NetworkKind, Scheme, SwitchKind
from anyvisor.model.names import ObjectKey
from anyvisor.model.network import Network, Subnet
from anyvisor.model.policy import Policy
from anyvisor.model.port import Port
from anyvisor.model.site import Manager, Site
from anyvisor.model.state import Plugged
from anyvisor.planner.appliances import ApplianceWish
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

VMS = ("vm0", "vm1", "vm2", "vm3")


def esx(name, scheme, **facts):
    return Host(
        name=name,
        hypervisor=Hypervisor.ESXI,
        version="8.0.3",
        cluster="c1",
        scheme=scheme,
        switches=(VDS,),
        nics=(Nic(name="vmnic0", physical="fabric"),),
        facts=facts,
    )


class World:
    """Two hosts under `scheme`, four VMs; `agents` play the appliances' agents."""

    def __init__(self, scheme=Scheme.APPLIANCE, **facts):
        self.estate = FakeEstate()
        self.hosts = {name: esx(name, scheme, **facts) for name in ("esx1", "esx2")}
        for host in self.hosts.values():
            self.estate.add_host(host)
        self.estate.add_group("dvs1", "before")
        self.estate.add_group("dvs1", "mgmt")
        self.estate.add_template("appliance", "esx1")
        for number, vm in enumerate(VMS):
            self.estate.add_vm(vm, f"esx{1 + number % 2}", ("dvs1", "before"))
        self.macs = {card.vm: card.mac for card in self.estate.estate().cards.values()}
        self.store, self.controller, self.now = FakeStore(), FakeController(), 1000.0
        self.conditions = ()
        self.want(VMS)
        self.restart()

    def restart(self):
        self.engine = Engine(self.store, self.controller, clock=lambda: self.now)
        self.reconciler = EstateReconciler(
            "vc1",
            self.estate,
            self.store,
            wishes=lambda _, hosts: {f"{host}/1": WISH for host in hosts},
            clock=lambda: self.now,
        )

    def want(self, vms, **changes):
        subnet = Subnet(cidr="10.1.0.0/24", dhcp=True)
        network = Network(
            name="web", kind=NetworkKind.OVERLAY, physical="fabric", vlan=200, subnets=(subnet,)
        )
        site = Site(
            managers={"vc1": Manager(name="vc1", driver="vsphere", url="https://vc1/sdk")},
            policy=Policy(),
            hosts=self.hosts,
            networks={"web": network},
            ports={
                vm: Port(name=vm, network="web", vm=vm, host=f"esx{1 + VMS.index(vm) % 2}", mac=self.macs[vm])
                for vm in vms
            },
        )
        self.store.write_site(replace(site, **changes))

    def agents(self):
        """Lay every way that an attachment asks for."""
        state = self.store.snapshot()
        for name, known in state.hosts.items():
            if known.scheme is not Scheme.APPLIANCE or self.hosts[name].facts.get("agentless"):
                continue
            mine = [a for a in state.attachments.values() if a.host == name]
            laid = {port: Plugged(device=plug.device) for port, plug in trunk_plugs(mine).items()}
            self.store.report(
                HostReport(host=name, carried=Scheme.APPLIANCE, plugged=laid, conditions=self.conditions)
            )
        self.controller.is_up = set(state.attachments)

    def run(self, looks=6):
        for _ in range(looks):
            self.engine.round((), everything=True)
            self.agents()
            self.engine.round((), everything=True)
            looked = self.reconciler.reconcile()
            assert looked.error is None
        self.engine.round((), everything=True)

    def groups(self):
        return {
            card.vm: card.backing.group
            for card in self.estate.estate().cards.values()
            if card.vm in VMS and card.backing is not None
        }

    def ready(self, vm):
        (condition,) = self.store.snapshot().conditions[ObjectKey("port", vm)]
        return condition.reason
