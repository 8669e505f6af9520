# SPDX-License-Identifier: Apache-2.0
"""The agent of a host whose network card switches: on the card, and on the host itself."""

from dataclasses import replace

import pytest

from anyvisor.errors import RetryableError
from anyvisor.model.card import Eswitch, FunctionKind, Representor, SwitchingCard
from anyvisor.model.host import NativeSwitch, Nic
from anyvisor.model.kinds import AttachmentKind, Scheme, SwitchKind
from anyvisor.model.names import Mac, SwitchName
from anyvisor.model.state import HostState, Plugged
from anyvisor.model.vnic import Counters, PathCount
from anyvisor.planner.cards import function_vnics
from anyvisor.reconcile.carding import Carding
from anyvisor.reconcile.chassis import ChassisReconciler, Ways
from anyvisor.reconcile.counting import Counting
from anyvisor.reconcile.integration import Integration
from anyvisor.reconcile.measuring import Measuring
from anyvisor.reconcile.outage import Outages

HOST = "kvm1"
M1, M2 = "52:54:00:00:00:01", "52:54:00:00:00:02"


class Dpu:
    """The card: its functions with the addresses that were given to them, and which way frames took."""

    def __init__(self, **given):
        self.given, self.serial, self.eswitch, self.failure = given, "MT1", Eswitch.SWITCHDEV, None
        self.counted, self.up = {}, set()

    def cards(self):
        if self.failure is not None:
            raise self.failure
        representors = tuple(
            Representor(
                device=device,
                kind=FunctionKind.VF,
                pf=0,
                number=n,
                controller=1,
                mac=Mac(mac) if mac else None,
            )
            for n, (device, mac) in enumerate(self.given.items())
        )
        return (
            SwitchingCard(
                address="pci/0000:03:00.0",
                driver="mlx5_core",
                serial=self.serial,
                eswitch=self.eswitch,
                ports=("p0",),
                representors=representors if self.eswitch is Eswitch.SWITCHDEV else (),
            ),
        )

    def bring_up(self, devices):
        self.up |= devices

    def vnics(self, host):
        return function_vnics(self.cards())

    def counters(self, host):
        return {}

    def paths(self):
        return self.counted


def with_dpu(world, dpu="MT1"):
    """The site says that the host has a DPU (or, with None, a card that it drives itself)."""
    site = world.store.state.site
    eswitch = NativeSwitch(name=SwitchName("br-ex"), kind=SwitchKind.NIC_ESWITCH, uplinks=("p0",))
    nic = Nic(name="p0", dpu=dpu, switchdev=True, sriov_vfs=4, physical="fabric")
    host = replace(site.hosts[HOST], switches=(eswitch,), nics=(nic,), tunnel_ip="192.0.2.31")
    world.store.state = replace(world.store.state, site=replace(site, hosts={HOST: host}))


@pytest.fixture
def card(world):
    with_dpu(world)
    dpu = Dpu(pf0vf0=M1, pf0vf1=None)
    world.agent = on_the_card(world, dpu)
    world.decide(Scheme.NIC)
    return dpu


def on_the_card(world, dpu, datapath="system"):
    outages = Outages(world.memory, lambda: world.now)
    integration = Integration(world._switch, outages=outages, hypervisor=dpu, surroundings=world.ground)
    return ChassisReconciler(
        HOST,
        world.store,
        integration,
        outages=outages,
        ways=Ways(carding=Carding(integration, dpu, datapath=datapath)),
        measuring=Measuring(HOST, Counting(HOST, world.memory, lambda: world.now), world.sink, slow_path=dpu),
    )


def test_the_representor_of_the_function_that_a_vm_was_given_is_plugged_as_its_port(world, card):
    world.attach("vm1", M1, AttachmentKind.REPRESENTOR)
    world.attach("vm2", M2, AttachmentKind.REPRESENTOR)

    result = world.agent.reconcile()

    assert result.error is None
    assert {p.device: (p.iface_id, p.bridge) for p in world.ovs.plugged.values()} == {
        "pf0vf0": ("vm1", "br-int")
    }
    assert world.store.state.hosts[HOST].carried is Scheme.NIC
    assert world.store.state.plugged == {"vm1": Plugged(device="pf0vf0"), "vm2": Plugged(device=None)}
    assert world.conditions()["CardReady"].true


def test_a_representor_that_is_plugged_is_up_for_nobody_else_minds_it(world, card):
    world.attach("vm1", M1, AttachmentKind.REPRESENTOR)

    world.agent.reconcile()

    assert card.up == {"pf0vf0"}


def test_a_function_that_passes_to_another_vm_passes_to_its_port(world, card):
    world.attach("vm1", M1, AttachmentKind.REPRESENTOR)
    world.attach("vm2", M2, AttachmentKind.REPRESENTOR)
    world.agent.reconcile()

    card.given["pf0vf0"] = M2
    world.agent.reconcile()

    assert {p.device: p.port for p in world.ovs.plugged.values()} == {"pf0vf0": "vm2"}


def test_the_card_is_a_chassis_that_is_found_by_its_serial_and_offloads(world, card):
    world.agent.reconcile()

    assert world.ovs.chassis.settings["ovn-cms-options"] == "card-serial-number=MT1"
    assert world.ovs.chassis.settings["ovn-encap-ip"] == "192.0.2.31"
    assert world.ovs.chassis.settings["ovn-bridge-mappings"] == "fabric:br-ex"
    assert world.ovs.chassis.offload


def test_a_switch_in_user_space_is_not_told_to_offload_to_a_kernels_card(world, card):
    world.agent = on_the_card(world, card, datapath="netdev")

    world.agent.reconcile()

    assert not world.ovs.chassis.offload


def test_another_card_than_the_site_names_is_said_and_serves_all_the_same(world, card):
    card.serial = "MT9"
    world.attach("vm1", M1, AttachmentKind.REPRESENTOR)

    world.agent.reconcile()

    assert "has the DPU MT1, but this is MT9" in world.conditions()["CardReady"].message
    assert world.store.state.plugged["vm1"] == Plugged(device="pf0vf0")


def test_a_kernel_that_does_not_tell_of_its_cards_unplugs_nothing(world, card):
    world.attach("vm1", M1, AttachmentKind.REPRESENTOR)
    world.agent.reconcile()
    card.failure = RetryableError("devlink does not end")

    result = world.agent.reconcile()

    assert "does not end" in str(result.error)
    assert "vm1" in world.ovs.plugged
    assert world.store.state.plugged["vm1"] == Plugged(device="pf0vf0")


def test_a_second_look_says_and_does_nothing(world, card):
    world.attach("vm1", M1, AttachmentKind.REPRESENTOR)
    world.agent.reconcile()
    before = (dict(world.ovs.plugged), world.ovs.chassis)

    world.agent.reconcile()

    assert len(world.store.reports) == 1
    assert (world.ovs.plugged, world.ovs.chassis) == before


def test_what_took_the_slow_path_is_counted_with_the_vnic(world, card):
    world.attach("vm1", M1, AttachmentKind.REPRESENTOR)
    world.agent.reconcile()
    world.agent.reconcile()
    card.counted = {"pf0vf0": PathCount(entered=1000, slow=250)}
    world.ovs.counted["vm1"] = Counters(tx_bytes=1000)

    world.agent.reconcile()

    assert world.sink.vnics["vm1"].path == PathCount(entered=1000, slow=250)


# --- a host with two agents -------------------------------------------------------------------------------------------


def test_under_nic_the_agent_on_the_host_leaves_the_word_to_the_one_on_the_card(world):
    with_dpu(world)
    world.decide(Scheme.NIC)

    world.agent.reconcile()

    assert world.store.reports == []


def test_under_another_scheme_the_card_lets_go_and_says_nothing(world, card):
    world.attach("vm1", M1, AttachmentKind.REPRESENTOR)
    world.agent.reconcile()
    said = len(world.store.reports)

    world.decide(Scheme.BASELINE)
    result = world.agent.reconcile()

    assert result.error is None
    assert world.ovs.plugged == {}
    assert len(world.store.reports) == said
    assert not {"system-id", "ovn-remote", "ovn-encap-ip"} & world.ovs.chassis.settings.keys()


def test_the_host_is_no_chassis_any_more_once_its_card_is_and_not_before(world):
    with_dpu(world)
    world.attach("vm1", M1)
    world.start_vm(M1, "vnet0")
    world.agent.reconcile()
    assert world.ovs.chassis.settings["system-id"] == HOST

    world.decide(Scheme.NIC)
    world.agent.reconcile()
    assert world.ovs.plugged.keys() == {"vm1"}

    world.store.state = replace(
        world.store.state, hosts={HOST: HostState(scheme=Scheme.NIC, carried=Scheme.NIC)}
    )
    world.agent.reconcile()
    assert world.ovs.plugged == {}
    assert "system-id" not in world.ovs.chassis.settings


def test_a_host_that_drives_its_card_itself_has_one_agent_for_every_scheme(world):
    with_dpu(world, dpu=None)
    world.agent = on_the_card(world, Dpu(pf0vf0=M1))
    world.attach("vm1", M1, AttachmentKind.VIF)
    world.decide(Scheme.NIC)
    world.agent.reconcile()
    assert world.store.state.hosts[HOST].carried is Scheme.NIC
    assert "ovn-cms-options" not in world.ovs.chassis.settings

    world.decide(Scheme.BASELINE)
    world.agent.reconcile()

    assert world.store.state.hosts[HOST].carried is Scheme.BASELINE


def test_an_agent_that_was_not_told_to_look_for_cards_says_so(world):
    with_dpu(world, dpu=None)
    world.decide(Scheme.NIC)

    world.agent.reconcile()

    assert 'hypervisor = "smartnic"' in world.conditions()["CardReady"].message
    assert world.store.state.hosts[HOST].carried is None
