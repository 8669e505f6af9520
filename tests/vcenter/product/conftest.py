# SPDX-License-Identifier: Apache-2.0
"""The whole product before the lab's vCenter, but for agents and chassis: a store in a real ovsdb-server, the engine that
decides, the reconciler of the estate, the vSphere driver. Stepped by hand, so that every life makes the same calls.

Two hosts of a cluster and an old one alone have appliances, two more are separated. What the appliances' agents would
report (a way is laid) is written to the store in their stead.
"""

import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from anyvisor.contracts.store import HostReport
from anyvisor.drivers.vsphere.estate import Patience, VsphereEstate
from anyvisor.errors import AnyvisorError
from anyvisor.lab.vcenter import program
from anyvisor.model.host import Host, NativeSwitch, Nic
from anyvisor.model.kinds import Hypervisor, NetworkKind, Scheme, SwitchKind
from anyvisor.model.names import ObjectKey
from anyvisor.model.network import Network, Subnet
from anyvisor.model.port import Port
from anyvisor.model.site import Manager, Site
from anyvisor.model.state import Plugged
from anyvisor.ovsdb.store import OvsdbStore
from anyvisor.ovsdb.telemetry import TelemetryStore
from anyvisor.planner.appliances import ApplianceWish
from anyvisor.planner.plugs import trunk_plugs
from anyvisor.reconcile import findings
from anyvisor.reconcile.engine import Engine
from anyvisor.reconcile.estate import EstateReconciler
from anyvisor.reconcile.notices import MANAGER, say
from anyvisor.reconcile.tally import Tally
from anyvisor.testing.controller import FakeController
from anyvisor.testing.daemons import missing_programs, wait_until
from anyvisor.testing.sandbox import AnyvisorDatabase

HERE = Path(__file__).parent
KEY = ObjectKey("manager", "vc1")
WISH = ApplianceWish(
    template="golden",
    networks={"management": "VM Network", "tunnel": "VM Network"},
    user_data="#cloud-config\n",
)
VMS = {"web": "esx1", "db": "esx2", "aged": "old1", "plain": "esx3", "wide": "esx4"}
UNDER_APPLIANCES = ("esx1", "esx2", "old1")
TURNS_AT_MOST = 40


def pytest_collection_modifyitems(items):
    missing = missing_programs()
    skip = pytest.mark.skip(reason=f"not installed: {', '.join(missing)}")
    for item in items:
        if HERE in item.path.parents and missing:
            item.add_marker(skip)


def inventory():
    def host(name, **changes):
        return {
            "name": name,
            "licence": "enterprise-plus",
            "cpu_cores": 16,
            "memory_mb": 65536,
            "pnics": [{"name": "vmnic0"}, {"name": "vmnic1"}],
            "switches": [
                {"name": "vSwitch0", "uplinks": ["vmnic1"], "port_groups": [{"name": "VM Network"}]}
            ],
            **changes,
        }

    return {
        "name": "product",
        "datacenters": [
            {
                "name": "DC",
                "clusters": [{"name": "C1"}],
                "hosts": [
                    host("esx1", cluster="C1"),
                    host("esx2", cluster="C1"),
                    host("old1", version="6.5.0", licence="standard"),
                    host("esx3", licence="standard"),
                    host("esx4"),
                ],
                "distributed_switches": [
                    {
                        "name": "dvs",
                        "version": "7.0.0",
                        "members": [{"host": name, "pnics": ["vmnic0"]} for name in ("esx1", "esx2", "esx4")],
                        "port_groups": [{"name": "office", "vlan": 7}],
                    }
                ],
                "vms": [
                    *(
                        {"name": vm, "host": VMS[vm], "nics": [{"network": "office"}]}
                        for vm in ("web", "db", "wide")
                    ),
                    *(
                        {"name": vm, "host": VMS[vm], "nics": [{"network": "VM Network"}]}
                        for vm in ("aged", "plain")
                    ),
                    {
                        "name": "golden",
                        "host": "esx1",
                        "template": True,
                        "nics": [{"network": "VM Network"}] * 3,
                    },
                ],
            }
        ],
    }


def described(name, scheme):
    """The host as the site file has it."""
    standard = NativeSwitch(name="vSwitch0", kind=SwitchKind.VSS, uplinks=("vmnic1",))
    distributed = NativeSwitch(name="dvs", kind=SwitchKind.VDS, version="7.0.0", uplinks=("vmnic0",))
    lone = name in {"old1", "esx3"}
    return Host(
        name=name,
        hypervisor=Hypervisor.ESXI,
        version="6.5.0" if name == "old1" else "8.0.3",
        cluster="C1" if name in {"esx1", "esx2"} else None,
        scheme=scheme,
        switches=(standard,) if lone else (distributed,),
        nics=(Nic(name="vmnic0", physical="fabric"), Nic(name="vmnic1", physical="fabric")),
    )


@dataclass
class Turn:
    """What one turn of everything came to."""

    quiet: bool = False
    error: AnyvisorError | None = None
    steps: tuple = ()


def wished(_, hosts):
    """Every appliance is made alike."""
    return {f"{host}/1": WISH for host in hosts}


class Product:
    """anyvisord's parts, one turn at a time. `restart` leaves only what is stored."""

    def __init__(self, vcenter, database, folder):
        self.vcenter = vcenter
        self.folder = folder
        self.database = database
        self.store = OvsdbStore(database.remote)
        self.store.start()
        self.telemetry = TelemetryStore(database.remote)
        self.telemetry.start()
        self.controller = FakeController()
        self.now = 1000.0
        self.driver = None
        self.wishes = wished
        credentials = folder / "credentials"
        credentials.write_text("admin:secret\n", encoding="utf-8")
        credentials.chmod(0o600)
        self.manager = Manager(
            name="vc1",
            driver="vsphere",
            url=vcenter.url,
            credentials=f"file:{credentials}",
            ca=str(vcenter.place.certificate),
        )
        self.macs = {vm.name: vm.nics[0].mac for vm in self.control.state().vms if vm.name in VMS}

    @property
    def control(self):
        return self.vcenter.control

    def close(self):
        self.disconnect()
        self.telemetry.close()
        self.store.close()

    def disconnect(self):
        driver, self.driver = self.driver, None
        if driver is not None:
            driver.close()

    def restart(self, **patience):
        """A new daemon: nothing is known but what is stored."""
        self.disconnect()
        self.patience = Patience(**{"answer_seconds": 20.0, "task_seconds": 20.0, **patience})
        self.engine = Engine(self.store, self.controller, clock=lambda: self.now)

    def want(self, vms, *, schemes=None):
        """The intent: a port for each of these VMs."""
        chosen = {
            name: Scheme.APPLIANCE if name in UNDER_APPLIANCES else Scheme.SEPARATION
            for name in ("esx1", "esx2", "old1", "esx3", "esx4")
        } | (schemes or {})
        subnet = Subnet(cidr="10.1.0.0/24", dhcp=True)
        network = Network(
            name="web", kind=NetworkKind.OVERLAY, physical="fabric", vlan=200, subnets=(subnet,)
        )
        site = Site(
            managers={"vc1": self.manager},
            hosts={name: described(name, scheme) for name, scheme in chosen.items()},
            networks={"web": network},
            ports={vm: Port(name=vm, network="web", vm=vm, host=VMS[vm], mac=self.macs[vm]) for vm in vms},
        )
        self.store.write_site(site)

    def turn(self):
        """Decide, let the agents do their part, decide, look at the vCenter, count."""
        before = self.store.snapshot()
        changes = self.engine.round((), everything=True).changes
        self.agents()
        changes += self.engine.round((), everything=True).changes
        looked = self.attend()
        changes += self.engine.round((), everything=True).changes
        looked.quiet = (
            looked.error is None
            and not (looked.steps or changes)
            and replace(self.store.snapshot(), applied=0) == replace(before, applied=0)
        )
        return looked

    def agents(self):
        """Lay every way that an attachment asks for, as the agents of appliances would."""
        state = self.store.snapshot()
        for name, known in state.hosts.items():
            if known.scheme is Scheme.APPLIANCE:
                mine = [a for a in state.attachments.values() if name in {a.host, a.staged}]
                laid = {port: Plugged(device=plug.device) for port, plug in trunk_plugs(mine).items()}
                own = {port: plug for port, plug in laid.items() if state.attachments[port].host == name}
                held = {port: state.plugged.get(port, Plugged()).device for port in own}
                if known.carried is not known.scheme or held != {p: plug.device for p, plug in own.items()}:
                    self.store.report(HostReport(host=name, carried=Scheme.APPLIANCE, plugged=own))
        self.controller.is_up = set(state.attachments)

    def attend(self):
        """As an attendant does: connect, look, count."""
        if self.driver is None:
            try:
                self.driver = VsphereEstate.connect(
                    self.manager, self.store.snapshot().owner, patience=self.patience
                )
            except AnyvisorError as error:
                say(self.store, "vc1", findings.failed(MANAGER, error))
                return Turn(error=error)
            self.reconciler = EstateReconciler(
                "vc1",
                self.driver,
                self.store,
                wishes=self.wishes,
                clock=lambda: self.now,
                tally=Tally(self.driver, lambda: self.telemetry, clock=lambda: self.now),
            )
        looked = self.reconciler.reconcile()
        error = looked.error
        try:
            self.reconciler.measure()
        except AnyvisorError as unread:
            error = error or unread
        return Turn(error=error, steps=looked.steps)

    def settle(self):
        """Turn until nothing is left to do."""
        for _ in range(TURNS_AT_MOST):
            turn = self.turn()
            if turn.quiet:
                return
        raise AssertionError(f"it does not converge: {turn}") from turn.error

    def conditions(self):
        """What is said of the manager."""
        return self.store.snapshot().conditions.get(KEY, ())

    def kill(self):
        """The vCenter dies."""
        self.vcenter.kill()

    def revive(self):
        """It begins again as it was, at the same address."""
        listen = self.vcenter.url.split("//")[1].split("/")[0]
        self.vcenter = program.start(replace(self.vcenter.place, listen=listen))
        self.control.set(**SETTINGS)

    def move(self, vm, to):
        """A migration that hangs until `arrive`."""
        self.control.migrations("hang", vm=vm)
        self.control.vm(vm, move_to=to)

    def arrive(self, vm, to):
        """It proceeds. One that a restart has ended begins again."""
        self.control.migrations("clear")
        self.control.migrations("proceed", vm=vm)
        self.ensure_on(vm, to)

    def ensure_on(self, vm, to):
        def there():
            state = self.control.state()
            shown = next(each for each in state.vms if each.name == vm)
            host = next(each.name for each in state.hosts if each.key == shown.host)
            if not shown.moving_to and host != to:
                self.control.vm(vm, move_to=to)
            return not shown.moving_to and host == to

        wait_until(there, f"{vm} on {to}")

    # What there is

    def world(self):
        """All that could have changed, by name; ports and VLANs are taken as they come, but fit what is stored."""
        state = self.control.state()
        stored = self.store.snapshot()
        hosts = {host.key: host.name for host in state.hosts}
        groups = {group.key: group for group in state.port_groups}
        vlans = {f"av-{stored.owner[:8]}-{t.holder}": t.vlan for t in stored.tags.values() if not t.released}
        assert {g.name: g.vlan for g in state.port_groups if g.name in vlans}.items() <= vlans.items()
        told = {
            "switches": {
                s.name: (s.version, s.mtu, frozenset(hosts[m.host] for m in s.members))
                for s in state.switches
            },
            "groups": sorted(
                (g.name, g.trunk, g.mac_learning, g.security) for g in state.port_groups if not g.uplink
            ),
            "standard": {
                (host.name, switch.name): (switch.mtu, sorted(group.name for group in switch.port_groups))
                for host in state.hosts
                for switch in host.switches
            },
            "vms": {
                vm.name: (hosts[vm.host], vm.power, tuple(_place(nic, groups) for nic in vm.nics))
                for vm in state.vms
            },
            "pins": _pins(self.control.pins()),
            "attachments": {port: (a.host, a.kind, a.staged) for port, a in stored.attachments.items()},
            "plugged": {
                port: (plugged.device is not None, plugged.card is not None)
                for port, plugged in stored.plugged.items()
            },
            "tags": sorted((t.scope, t.holder) for t in stored.tags.values() if not t.released),
            "controller": sorted(map(str, self.controller.objects)),
        }
        return _unowned(told, stored.owner[:8])


def _unowned(told, mark):
    """The same, whoever the owner is."""
    if isinstance(told, str):
        return told.replace(mark, "OWNER")
    if isinstance(told, dict):
        return {_unowned(key, mark): _unowned(value, mark) for key, value in told.items()}
    if type(told) in {list, tuple, frozenset}:
        return type(told)(_unowned(each, mark) for each in told)
    return told


def _pins(told):
    """What holds appliances where they are. That autostart is on stays, and means nothing without VMs."""
    groups = {
        name: {g: sorted(members) for g, members in held.items()} for name, held in told["groups"].items()
    }
    autostart = {host: sorted(vms) for host, vms in told["autostart"].items() if vms}
    return {**told, "groups": groups, "autostart": autostart}


def _place(nic, groups):
    if nic.backing is None:
        return None
    group = groups.get(nic.backing.port_group)
    return (group.name if group is not None else nic.backing.port_group, nic.connected, nic.started)


SETTINGS = {"vmotion_seconds": 0.0, "ha_seconds": 0.1}


def begun(data_center):
    folder = Path(tempfile.mkdtemp(prefix="vc-"))
    vcenter = program.start(program.Place(folder=folder), data_center)
    vcenter.control.set(**SETTINGS)
    return Product(vcenter, AnyvisorDatabase().start(), folder)


def ended(product):
    product.close()
    product.vcenter.stop()
    product.database.close()
    shutil.rmtree(product.folder)


@pytest.fixture
def another():
    """A product of its own, before a vCenter that differs in these parts of its inventory."""
    held = []

    def begin(**changes):
        held.append(begun({**inventory(), "name": "another", **changes}))
        held[0].restart()
        return held[0]

    yield begin
    for product in held:
        ended(product)


@pytest.fixture(scope="session")
def products():
    """One product, used again by the next test if the last one left it as it found it."""
    held = []

    def take():
        if not held:
            held.append(begun(inventory()))
        return held[0]

    def end():
        while held:
            ended(held.pop())

    take.end = end
    yield take
    end()


@pytest.fixture
def product(products, request):
    """A product that knows nothing yet."""
    product = products()
    product.now += 10_000.0
    product.good = False
    yield product
    if not product.good:
        products.end()


@pytest.fixture
def wishes():
    """As the policy would say how appliances are made."""
    return wished
