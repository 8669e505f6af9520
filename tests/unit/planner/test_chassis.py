# SPDX-License-Identifier: Apache-2.0
"""What a chassis must look like, and the steps that lead there."""

from dataclasses import replace
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyvisor.errors import ForeignObjectError
from anyvisor.model.host import Host, NativeSwitch, Nic
from anyvisor.model.kinds import Hypervisor, SwitchKind
from anyvisor.model.names import HostName, SwitchName
from anyvisor.model.tls import TlsFiles
from anyvisor.planner.chassis import (
    CardSide,
    Chassis,
    ObservedBridge,
    ObservedChassis,
    ObservedTls,
    ProviderBridge,
    bridge_name,
    chassis_mac,
    chassis_plan,
    provider_bridges,
    release_keys,
)
from anyvisor.planner.chassis_steps import AddUplink, SetKeys, SetOffload, SetTls
from anyvisor.testing.switch import configured

CHASSIS = Chassis(
    host=HostName("kvm1"),
    owner="0f0f",
    remote="tcp:192.0.2.1:6642",
    tunnel_ip="192.0.2.11",
    bridges=(ProviderBridge(name="br-ex", physical=("fabric",), uplinks=("eth0",)),),
)

words = st.sampled_from(["fabric", "dmz", "lab", "storage"])
mappings = st.dictionaries(words, st.sampled_from(["br-ex", "br-x", "br-y"]), max_size=3).map(
    lambda pairs: ",".join(f"{k}:{v}" for k, v in pairs.items())
)
settings = st.fixed_dictionaries(
    {},
    optional={
        "ovn-bridge-mappings": mappings,
        "ovn-encap-ip": st.just("192.0.2.99"),
        "system-id": st.text("abc", min_size=1),
        "somebody:else": st.text("xyz", min_size=1),
        "ovn-cms-options": st.sampled_from(["enable-chassis-as-gw", "a=b, card-serial-number=OLD", ""]),
    },
)
bridges = st.lists(
    st.builds(
        ObservedBridge,
        name=st.sampled_from(["br-int", "br-ex", "br-x"]),
        ports=st.frozensets(st.sampled_from(["tap0", "tap1"])),
        fail_mode=st.sampled_from(["", "secure", "standalone"]),
    ),
    unique_by=lambda bridge: bridge.name,
).map(lambda found: {bridge.name: bridge for bridge in found})
observed = st.builds(ObservedChassis, settings=settings, bridges=bridges)
desired = st.builds(
    lambda physical, uplinks: replace(
        CHASSIS, bridges=(ProviderBridge(name="br-ex", physical=tuple(physical), uplinks=tuple(uplinks)),)
    ),
    st.lists(words, unique=True, max_size=2),
    st.lists(st.sampled_from(["eth0", "eth1"]), unique=True),
)


def carried_out(observed, steps):
    return reduce(configured, steps, observed)


@given(desired=desired, observed=observed)
def test_carrying_out_a_plan_leaves_nothing_to_do(desired, observed):
    after = carried_out(observed, chassis_plan(desired, observed).steps)

    assert chassis_plan(desired, after).steps == ()


@given(desired=desired, observed=observed)
def test_foreign_settings_and_mappings_survive(desired, observed):
    after = carried_out(observed, chassis_plan(desired, observed).steps)

    assert after.settings.get("somebody:else") == observed.settings.get("somebody:else")
    before = set(observed.settings.get("ovn-bridge-mappings", "").split(",")) - {""}
    assert before <= set(after.settings.get("ovn-bridge-mappings", "").split(","))


@given(first=desired, second=desired, observed=observed)
def test_a_mapping_that_is_no_longer_wanted_goes(first, second, observed):
    once = carried_out(observed, chassis_plan(first, observed).steps)
    twice = carried_out(once, chassis_plan(second, once).steps)
    foreign = set(observed.settings.get("ovn-bridge-mappings", "").split(",")) - {""}
    wanted = {f"{p}:{b.name}" for b in second.bridges for p in b.physical}

    assert set(twice.settings.get("ovn-bridge-mappings", "").split(",")) - {""} <= foreign | wanted


@given(desired=desired, observed=observed)
def test_releasing_a_chassis_gives_the_foreign_mappings_back(desired, observed):
    after = carried_out(observed, chassis_plan(desired, observed).steps)
    released = configured(after, release_keys(CHASSIS.owner, after))

    def pairs(chassis):
        return set(chassis.settings.get("ovn-bridge-mappings", "").split(",")) - {""}

    assert pairs(released) == pairs(observed)
    assert "ovn-remote" not in released.settings


def test_a_chassis_of_another_controller_is_refused():
    theirs = ObservedChassis(settings={"ovn-remote": "ssl:198.51.100.1:6642"})

    with pytest.raises(ForeignObjectError, match=r"198\.51\.100\.1"):
        chassis_plan(CHASSIS, theirs)


def test_our_own_chassis_follows_a_new_remote():
    ours = carried_out(ObservedChassis(), chassis_plan(CHASSIS, ObservedChassis()).steps)

    moved = replace(CHASSIS, remote="tcp:192.0.2.2:6642")
    after = carried_out(ours, chassis_plan(moved, ours).steps)

    assert after.settings["ovn-remote"] == "tcp:192.0.2.2:6642"


def test_a_switch_of_another_installation_is_refused():
    with pytest.raises(ForeignObjectError, match="another anyvisor"):
        chassis_plan(CHASSIS, ObservedChassis(settings={"anyvisor:owner": "other"}))


def test_an_integration_bridge_with_another_openflow_controller_is_refused():
    bridge = ObservedBridge(name="br-int", controllers=("tcp:198.51.100.9:6653",))

    with pytest.raises(ForeignObjectError, match="6653"):
        chassis_plan(CHASSIS, ObservedChassis(bridges={"br-int": bridge}))


def test_a_card_that_carries_the_host_is_not_put_into_a_bridge():
    plan = chassis_plan(CHASSIS, ObservedChassis(), busy=frozenset({"eth0"}))

    assert not any(isinstance(step, AddUplink) for step in plan.steps)
    assert "eth0" in plan.problems[0]


def test_a_card_in_another_bridge_is_not_taken():
    there = ObservedChassis(bridges={"br-x": ObservedBridge(name="br-x", ports=frozenset({"eth0"}))})

    plan = chassis_plan(CHASSIS, there)

    assert plan.problems == ("eth0 is in br-x, not in br-ex",)
    assert "ovn-bridge-mappings" not in carried_out(there, plan.steps).settings


def test_a_physical_network_that_somebody_mapped_elsewhere_is_a_problem():
    there = ObservedChassis(settings={"ovn-bridge-mappings": "fabric:br-other"})

    plan = chassis_plan(CHASSIS, there)

    assert plan.problems == ("physical network fabric is mapped to br-other, not br-ex",)


def test_a_mapping_is_written_after_its_bridge():
    steps = chassis_plan(CHASSIS, ObservedChassis()).steps

    assert [type(step).__name__ for step in steps] == ["MakeBridge", "MakeBridge", "AddUplink", "SetKeys"]


def test_the_bridge_that_the_site_names_is_taken_else_one_of_ours():
    host = Host(
        name=HostName("kvm1"),
        hypervisor=Hypervisor.KVM,
        switches=(NativeSwitch(name=SwitchName("br-ex"), kind=SwitchKind.OPENVSWITCH, uplinks=("eth0",)),),
        nics=(
            Nic(name="eth0", physical="fabric"),
            Nic(name="eth1", physical="dmz"),
            Nic(name="eth2", physical="fabric", vlan=200),
            Nic(name="eth3"),
        ),
    )

    assert [(b.name, b.physical, b.uplinks) for b in provider_bridges(host)] == [
        ("br-dmz", ("dmz",), ("eth1",)),
        ("br-ex", ("fabric",), ("eth0",)),
    ]


@given(st.text(min_size=1))
def test_a_bridge_name_fits_the_kernel(network):
    name = bridge_name(network)

    assert 3 < len(name) <= 15
    assert name.isascii()
    assert not set(name) & set("/ :")


def test_long_names_that_begin_alike_make_different_bridges():
    assert bridge_name("a-very-long-network-1") != bridge_name("a-very-long-network-2")


def test_each_chassis_has_a_mac_of_its_own():
    macs = {chassis_mac("0f0f", HostName(f"kvm{n}"), "fabric") for n in range(100)}

    assert len(macs) == 100
    assert all(int(mac[:2], 16) & 3 == 2 for mac in macs)


FILES = TlsFiles(private_key="/k.pem", certificate="/c.pem", ca_certificate="/ca.pem")
OTHERS = TlsFiles(private_key="/theirs.pem", certificate="/c.pem", ca_certificate="/ca.pem")
SECURE = replace(CHASSIS, remote="ssl:192.0.2.1:6642", tls=FILES, bridges=())


def test_the_files_for_tls_are_there_before_the_remote_that_needs_them():
    kinds = [type(step) for step in chassis_plan(SECURE, ObservedChassis()).steps]

    assert kinds.index(SetTls) < kinds.index(SetKeys)


@given(
    there=st.none() | st.builds(ObservedTls, files=st.sampled_from([FILES, OTHERS]), ours=st.booleans()),
    given_files=st.none() | st.just(FILES),
    remote=st.sampled_from(
        ["ssl:192.0.2.1:6642", "tcp:192.0.2.2:6642,ssl:192.0.2.1:6642", "tcp:192.0.2.1:6642"]
    ),
)
def test_the_files_for_tls_are_in_force_or_it_is_said_why_not(there, given_files, remote):
    before = ObservedChassis(tls=there)
    plan = chassis_plan(replace(SECURE, remote=remote, tls=given_files), before)
    after = carried_out(before, plan.steps)

    if there is not None and not there.ours:
        assert after.tls == there, "files of somebody else stay"
    if "ssl:" not in remote or given_files is None:
        assert after.tls == there
    elif not plan.problems:
        assert after.tls.files == FILES
    if "ssl:" in remote and after.tls is None:
        assert "needs TLS" in "".join(plan.problems)
    assert chassis_plan(replace(SECURE, remote=remote, tls=given_files), after).steps == ()


DPU = replace(CHASSIS, card=CardSide(serial="MT1"))


@given(settings, bridges)
def test_a_card_is_found_by_its_serial_and_options_of_others_stay(there, found):
    observed = ObservedChassis(settings=there, bridges=found)

    after = reduce(configured, chassis_plan(DPU, observed).steps, observed)

    options = [o.strip() for o in after.settings["ovn-cms-options"].split(",")]
    others = [o.strip() for o in there.get("ovn-cms-options", "").split(",") if o.strip()]
    assert [o for o in options if o.startswith("card-serial-number=")] == ["card-serial-number=MT1"]
    assert set(others) - {"card-serial-number=OLD"} <= set(options)
    assert chassis_plan(DPU, after).steps == ()


@given(settings, bridges)
def test_a_card_that_is_handed_over_keeps_nothing_of_ours(there, found):
    observed = ObservedChassis(settings=there, bridges=found)
    ours = reduce(configured, chassis_plan(DPU, observed).steps, observed)

    left = configured(ours, release_keys("0f0f", ours)).settings

    assert "card-serial-number" not in left.get("ovn-cms-options", "")
    assert not any(key.startswith("anyvisor:") for key in left)


def test_flows_are_given_to_the_card_once_it_is_said_so():
    observed = ObservedChassis()

    steps = chassis_plan(DPU, observed).steps
    after = reduce(configured, steps, observed)

    assert SetOffload() in steps
    assert after.offload
    assert chassis_plan(DPU, after).steps == ()
    assert SetOffload() not in chassis_plan(CHASSIS, observed).steps


def test_nothing_is_said_of_a_card_on_a_host_that_is_none():
    observed = ObservedChassis(settings={"ovn-cms-options": "card-serial-number=THEIRS"})

    after = reduce(configured, chassis_plan(CHASSIS, observed).steps, observed)

    assert after.settings["ovn-cms-options"] == "card-serial-number=THEIRS"


def test_the_bridge_of_a_card_is_the_one_that_the_site_names_for_its_cable():
    host = Host(
        name=HostName("kvm1"),
        hypervisor=Hypervisor.KVM,
        switches=(NativeSwitch(name=SwitchName("ovsbr1"), kind=SwitchKind.NIC_ESWITCH, uplinks=("p0",)),),
        nics=(Nic(name="p0", dpu="MT1", physical="fabric"),),
    )

    assert provider_bridges(host) == (ProviderBridge(name="ovsbr1", physical=("fabric",), uplinks=("p0",)),)
