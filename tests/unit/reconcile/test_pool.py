# SPDX-License-Identifier: Apache-2.0
"""A pool of three hosts under the whole product: engine, planner, reconciler, the driver and the vendor's own client,
against a pool that is none. Only the agents in dom0 are played.
"""

import threading

import pytest

from anyvisor.access.credentials import Login
from anyvisor.access.trust import trust
from anyvisor.attending import connected_estate
from anyvisor.contracts.store import HostReport
from anyvisor.drivers.xapi.estate import Patience, XapiEstate
from anyvisor.drivers.xapi.session import Session
from anyvisor.model.host import Host, Nic
from anyvisor.model.kinds import Hypervisor, NetworkKind, Scheme
from anyvisor.model.names import ObjectKey
from anyvisor.model.network import Network, Subnet
from anyvisor.model.policy import Policy
from anyvisor.model.port import Port
from anyvisor.model.site import Manager, Site
from anyvisor.model.state import Plugged
from anyvisor.planner.found import completed, reported_by
from anyvisor.reconcile.attendant import Attendant
from anyvisor.reconcile.engine import Engine
from anyvisor.reconcile.estate import EstateReconciler
from anyvisor.reconcile.preview import preview
from anyvisor.testing.controller import FakeController
from anyvisor.testing.nsx.certificate import made
from anyvisor.testing.store import FakeStore
from anyvisor.testing.xapi.pool import Pool, Wired, made_mac
from anyvisor.testing.xapi.server import PASSWORD, USER, FakeXapi
from anyvisor.testing.xapi.troubles import Trouble

HOSTS = ("xen1", "xen2", "xen3")
VMS = ("vm1", "vm2", "vm3", "vm4")
WRITES = r"(network|VLAN|VIF)\.(?!get_).*"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return made(tmp_path_factory.mktemp("xapi"))


class World:
    """A pool, the daemon, and the agents of those hosts that are to be chassis."""

    def __init__(self, folder, certificate, backend="openvswitch"):
        self.pool = Pool()
        self.pool.backend = backend
        for name in HOSTS:
            self.pool.add_host(name, "eth0", "eth1")
        self.guests = self.pool.network("", "xenbr1")
        for number, vm in enumerate(VMS):
            self.pool.add_vm(vm, self.pool.named("host", HOSTS[number % 3]), self.guests)
        self.xapi = FakeXapi(folder, self.pool, certificate=certificate)
        self.store, self.controller, self.now = FakeStore(), FakeController(), 1000.0
        self.driver = None
        self.restart()
        self.before = self.photograph()

    def restart(self):
        if self.driver is not None:
            self.driver.close()
        trusted = trust(str(self.xapi.certificate.certificate))
        self.driver = XapiEstate(
            "pool1",
            self.store.snapshot().owner,
            lambda seconds: Session(
                "pool1", self.xapi.url, trusted, lambda: Login(USER, PASSWORD), timeout_seconds=seconds
            ),
            Patience(answer_seconds=20.0, news_seconds=1.0),
        )
        self.engine = Engine(self.store, self.controller, clock=lambda: self.now)
        self.reconciler = EstateReconciler(
            "pool1", self.driver, self.store, wishes=lambda _, __: {}, clock=lambda: self.now
        )

    def close(self):
        self.driver.close()
        self.xapi.close()

    def photograph(self):
        """All that the pool's database holds of networks and VIFs."""
        held = {}
        for kind in ("network", "PIF", "VLAN", "VIF"):
            rows = self.pool.records.rows(kind)
            held[kind] = {ref: self.pool.records.shown(kind, ref) for ref in rows}
        return held

    def want(self, scheme, vms=VMS, hosts=HOSTS):
        """The site file says so, and is completed by what the pool reports, as `apply` does it."""
        subnet = Subnet(cidr="10.1.0.0/24", dhcp=True)
        network = Network(
            name="web", kind=NetworkKind.OVERLAY, physical="fabric", vlan=200, subnets=(subnet,)
        )
        nics = (Nic(name="eth0"), Nic(name="eth1", physical="fabric"))
        site = Site(
            managers={"pool1": Manager(name="pool1", driver="xapi", url=self.xapi.url)},
            policy=Policy(),
            hosts={
                name: Host(name=name, hypervisor=Hypervisor.XEN, scheme=scheme, nics=nics) for name in hosts
            },
            networks={"web": network} if vms else {},
            ports={vm: Port(name=vm, network="web", vm=vm, mac=made_mac(vm, 0)) for vm in vms},
        )
        reported = reported_by("pool1", self.driver.estate().hosts)
        self.store.write_site(completed(site, self.store.snapshot(), reported))

    def agents(self):
        """In dom0 of each host that is to be a chassis: make br-int, take over what XAPI has plugged there."""
        state = self.store.snapshot()
        for ref, row in self.pool.records.rows("host").items():
            known = state.hosts.get(row["name_label"])
            on_ovs = row["software_version"]["network_backend"] == "openvswitch"
            if (
                known is None
                or known.scheme not in {Scheme.BASELINE, Scheme.SUBSTITUTION}
                or not on_ovs
                or not self.pool.records.row("host_metrics", row["metrics"])["live"]
            ):
                continue
            self.pool.dom0[ref].bridges.add("br-int")
            mine = {a.port for a in state.attachments.values() if a.host == row["name_label"]}
            there = {
                wire.iface: Plugged(device="vif1.0")
                for wire in self.pool.wired.values()
                if wire.bridge == "br-int" and wire.iface in mine
            }
            plugged = {port: there.get(port, Plugged()) for port in mine}
            self.store.report(HostReport(host=row["name_label"], carried=known.scheme, plugged=plugged))

    def look(self):
        self.engine.round((), everything=True)
        self.agents()
        self.engine.round((), everything=True)
        looked = self.reconciler.reconcile()
        self.now += 1
        return looked

    def run(self, looks=6):
        for _ in range(looks):
            assert self.look().error is None
        assert self.look().steps == ()

    def settle(self):
        """As often as it takes, whatever goes wrong meanwhile; within reason."""
        quiet = 0
        for _ in range(40):
            looked = self.look()
            quiet = quiet + 1 if looked.error is None and looked.steps == () else 0
            if quiet == 3:
                return
        raise AssertionError(f"it does not settle: {looked}")

    def wires(self):
        return {vm: self.pool.wire(vm) for vm in VMS}

    def is_separated(self):
        labels = {row["bridge"]: row["name_label"] for row in self.pool.records.rows("network").values()}
        return all(
            wire is not None
            and "+web+" in labels[wire.bridge]
            and wire.addresses is not None
            and len(wire.addresses) == 1
            for wire in self.wires().values()
        )

    def is_bound(self):
        return self.wires() == {vm: Wired("br-int", vm) for vm in VMS}

    def is_untouched(self):
        """References of keys that came and went are the same; so is all else."""
        return self.photograph() == self.before and all(
            wire.bridge == "xenbr1" and not wire.direct for wire in self.wires().values()
        )


@pytest.fixture
def world(tmp_path, certificate):
    world = World(tmp_path, certificate)
    yield world
    world.close()


def test_nothing_is_written_while_nothing_is_wanted(world):
    world.want(None, vms=())
    world.run(2)

    assert world.xapi.writes == []


def test_a_pool_is_wired_under_separation_and_locked_to_its_addresses(world):
    world.want(Scheme.SEPARATION)
    world.run()

    assert world.is_separated()
    state = world.store.snapshot()
    assert {known.carried for known in state.hosts.values()} == {Scheme.SEPARATION}
    assert {plugged.device is not None for plugged in state.plugged.values()} == {True}
    vlans = world.pool.records.rows("VLAN").values()
    assert [row["tag"] for row in vlans] == ["200"] * 3


@pytest.mark.parametrize("scheme", [Scheme.BASELINE, Scheme.SUBSTITUTION])
def test_it_goes_over_to_the_integration_bridge_and_back_and_leaves_nothing(world, scheme):
    world.want(Scheme.SEPARATION)
    world.run()

    world.want(scheme)
    world.run(8)
    assert world.is_bound()
    assert world.pool.records.rows("VLAN") == {}

    world.want(Scheme.SEPARATION)
    world.run(8)
    assert world.is_separated()

    world.want(Scheme.SEPARATION, vms=())
    world.run()
    assert world.is_untouched()


def test_a_pool_with_linux_bridges_waits_for_its_operator_and_is_then_wired(tmp_path, certificate):
    world = World(tmp_path, certificate, backend="bridge")
    world.want(Scheme.SUBSTITUTION)
    world.run()
    (said,) = (
        each for each in world.store.snapshot().conditions[ObjectKey("manager", "pool1")] if not each.true
    )
    assert "xe-switch-network-backend" in said.message
    assert not any(wire.bridge == "br-int" for wire in world.wires().values())

    for ref in world.pool.records.rows("host"):
        world.pool.switch_backend(ref, "openvswitch")
    world.want(Scheme.SUBSTITUTION)
    world.run(8)

    assert world.is_bound()
    world.close()


def test_another_sdn_controller_is_found_before_anything_is_written(world):
    world.xapi.act("SDN_controller.introduce", "pssl", "", "0")
    world.xapi.calls.clear()

    world.want(Scheme.BASELINE)
    for _ in range(4):
        world.look()

    assert world.xapi.writes == []
    (condition,) = world.store.snapshot().conditions[ObjectKey("port", "vm1")]
    assert condition.reason == "NoScheme"


def test_under_separation_another_sdn_controller_only_forbids_locks(world):
    world.xapi.act("SDN_controller.introduce", "pssl", "", "0")
    world.want(Scheme.SEPARATION)
    world.run()

    assert {wire.addresses for wire in world.wires().values()} == {None}
    assert not any(wire.bridge == "xenbr1" for wire in world.wires().values())


def test_a_migration_is_followed(world):
    world.want(Scheme.BASELINE)
    world.run(8)
    vm, there = world.pool.named("VM", "vm1"), world.pool.named("host", "xen2")

    world.pool.begin_move(vm, there)
    world.look()
    assert world.store.snapshot().placements["vm1"].moving_to == "xen2"
    world.pool.finish_move(vm)
    world.run()

    assert world.store.snapshot().attachments["vm1"].host == "xen2"
    assert world.is_bound()


def test_a_clone_of_a_vm_does_not_keep_the_ports_name(world):
    world.want(Scheme.BASELINE)
    world.run(8)
    held = world.pool.records.shown("VIF", world.pool.vif("vm1"))
    clone = world.pool.add_vm("clone", world.pool.named("host", "xen1"))
    world.pool.add_vif(
        clone, held["network"], "0", mac="02:00:00:00:00:99", other_config=dict(held["other_config"])
    )

    world.run()

    assert world.pool.wire("clone").bridge == "xenbr1"
    assert world.is_bound()


def test_a_host_that_is_silent_holds_nobody_else_up(world):
    world.pool.lose(world.pool.named("host", "xen2"))
    world.want(Scheme.SEPARATION)
    for _ in range(6):
        world.look()
    wires = world.wires()
    assert wires["vm2"].bridge == "xenbr1"
    assert all(wires[vm].addresses is not None for vm in VMS if vm != "vm2")

    world.pool.lose(world.pool.named("host", "xen2"), live=True)
    world.run()

    assert world.is_separated()


def test_a_daemon_that_is_replaced_finds_everything_again(world):
    world.want(Scheme.BASELINE)
    world.run(8)
    world.restart()
    world.xapi.calls.clear()

    world.run(3)
    assert world.xapi.writes == []

    world.want(Scheme.BASELINE, vms=())
    world.run()
    assert world.is_untouched()


def test_a_dry_run_writes_nothing_and_says_what_would_be_done(world):
    world.want(Scheme.SEPARATION)
    world.engine.round((), everything=True)
    world.xapi.calls.clear()

    found = preview(
        world.store.snapshot(),
        world.controller,
        {"pool1": world.driver.estate()},
        wishes=lambda _, __: {},
        now_seconds=1000,
    )

    assert len(found.estates["pool1"].steps) == 1 + len(VMS)
    assert world.xapi.writes == []


def test_the_managers_driver_is_found_by_its_name(world, tmp_path):
    secret = tmp_path / "secret"
    secret.touch(mode=0o600)
    secret.write_text(f"{USER}:{PASSWORD}")
    manager = Manager(
        name="pool1",
        driver="xapi",
        url=world.xapi.url,
        credentials=f"file:{secret}",
        ca=world.xapi.certificate.thumbprint,
    )

    driver = connected_estate(manager, "owner", answer_seconds=20.0)

    assert set(driver.estate().hosts) == set(HOSTS)
    driver.close()


def test_an_attendant_hears_of_what_happens_in_the_pool(world):
    world.want(Scheme.SEPARATION)
    world.run()
    looked = threading.Semaphore(0)

    class Told:
        def reconcile(self):
            found = world.reconciler.reconcile(afresh=True)
            looked.release()
            return found

        def measure(self):
            """Nothing is counted."""

    attendant = Attendant("pool1", lambda: world.driver, lambda _: Told())
    attendant.start()
    assert looked.acquire(timeout=30)
    world.xapi.act("VIF.move", world.pool.vif("vm1"), world.guests)
    for _ in range(20):
        if world.is_separated():
            break
        assert looked.acquire(timeout=30)
    attendant.stop()

    assert world.is_separated()


def life(world):
    """From nothing to separation, to the integration bridge, to nothing."""
    world.want(Scheme.SEPARATION)
    world.settle()
    assert world.is_separated()
    world.want(Scheme.SUBSTITUTION)
    world.settle()
    assert world.is_bound()
    world.want(Scheme.SUBSTITUTION, vms=())
    world.settle()
    assert world.is_untouched()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["refuse", "half", "cut-before", "cut-after", "ended"])
def test_it_converges_whatever_call_fails_and_leaves_nothing(world, kind):
    life(world)
    world.xapi.calls.clear()
    life(world)
    calls = len(world.xapi.writes)
    assert calls > 80

    for number in range(1, calls + 1):
        world.xapi.troubles.clear()
        world.xapi.troubles.add(Trouble(kind=kind, at=number, method=WRITES, code=("HOST_OFFLINE", "x")))
        life(world)


@pytest.mark.parametrize(
    "code", ["OTHER_OPERATION_IN_PROGRESS", "RBAC_PERMISSION_DENIED", "HOST_STILL_BOOTING"]
)
def test_it_converges_when_a_while_of_refusals_is_over(world, code):
    world.xapi.troubles.add(Trouble(kind="refuse", at=3, times=12, method=WRITES, code=(code, "x")))

    life(world)


def test_what_is_asked_may_fail_too(world):
    for number in range(1, 40, 3):
        world.xapi.troubles.clear()
        world.xapi.troubles.add(
            Trouble(kind="refuse", at=number, method=r"event\.from|.*\.get_.*", code=("HOST_STILL_BOOTING",))
        )
        life_but_for_wishes(world)


def life_but_for_wishes(world):
    """As `life`, where the site file is written while the pool answers."""
    for scheme, vms in ((Scheme.SEPARATION, VMS), (Scheme.BASELINE, VMS), (Scheme.BASELINE, ())):
        for _ in range(3):
            try:
                world.want(scheme, vms=vms)
                break
            except Exception as error:  # noqa: BLE001 - it is tried again, as a person would
                assert "booting" in str(error)  # noqa: PT017
        world.settle()
    assert world.is_untouched()


def test_two_vms_of_one_mac_are_told_apart_by_name(world):
    mac = made_mac("vm1", 0)
    world.pool.add_vm("twin", world.pool.named("host", "xen2"), world.guests, mac=mac)

    world.want(Scheme.BASELINE)
    world.run(8)

    assert world.is_bound()
    assert world.pool.wire("twin").bridge == "xenbr1"
