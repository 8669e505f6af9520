# SPDX-License-Identifier: Apache-2.0
"""Every host gets an answer for every scheme, and the choice obeys the operator."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyvisor.model.host import Host, NativeSwitch, Nic
from anyvisor.model.kinds import Hypervisor, Scheme, SwitchKind
from anyvisor.model.policy import Floor, Preference
from anyvisor.planner.choose import choose, verdicts
from anyvisor.planner.facts import KEYS, TABLES, traits
from anyvisor.planner.facts.version import parse
from anyvisor.planner.schemes import SCHEMES, Load

names = st.text("abcdef0123456789-", min_size=1, max_size=8)
versions = st.one_of(
    st.sampled_from(
        [
            "",
            "5.5",
            "6.0",
            "6.5",
            "6.5 U1",
            "6.5.0 Update 2",
            "6.7.0",
            "7.0.3",
            "8.0.3",
            "8.0 U3",
            "9.0",
            "12",
        ]
    ),
    st.sampled_from(["XCP-ng 8.3", "7.1", "4.17", "4.20.1", "unknown", "v8"]),
    st.text(max_size=12),
)
switches = st.builds(
    NativeSwitch,
    name=names,
    kind=st.sampled_from(SwitchKind),
    version=versions,
    uplinks=st.lists(names, max_size=2).map(tuple),
)
nics = st.builds(
    Nic,
    name=names,
    speed_gbps=st.none() | st.floats(1, 400),
    sriov_vfs=st.integers(0, 64),
    switchdev=st.booleans(),
    dpu=st.none() | names,
    physical=st.none() | names,
)
facts = st.dictionaries(
    st.sampled_from([key.name for key in KEYS]),
    st.one_of(
        st.booleans(),
        st.integers(0, 64),
        st.floats(0, 64),
        st.sampled_from(sorted({value for key in KEYS for value in key.values})),
        st.text(max_size=4),
    ),
)
hosts = st.builds(
    Host,
    name=names,
    hypervisor=st.sampled_from(Hypervisor),
    version=versions,
    cluster=st.none() | names,
    scheme=st.none() | st.sampled_from(Scheme),
    switches=st.lists(switches, max_size=3).map(tuple),
    nics=st.lists(nics, max_size=2).map(tuple),
    facts=facts,
)
shares = st.sampled_from([0.0, 0.5, 1.0])
preferences = st.builds(
    Preference,
    prefer=st.lists(st.sampled_from(Scheme), unique=True).map(tuple),
    floor=st.builds(Floor, controlled=shares, observed=shares),
)
loads = st.builds(
    Load,
    local=st.dictionaries(names, st.integers(0, 4), max_size=3),
    beyond=st.dictionaries(names, st.integers(0, 4), max_size=3),
)
schemes = st.none() | st.sampled_from(Scheme)

KVM_OVS = Host(
    name="kvm1",
    hypervisor=Hypervisor.KVM,
    switches=(NativeSwitch(name="br-ex", kind=SwitchKind.OPENVSWITCH, uplinks=("eth0",)),),
)
KVM_BRIDGE = Host(
    name="kvm3",
    hypervisor=Hypervisor.KVM,
    switches=(NativeSwitch(name="br0", kind=SwitchKind.LINUX_BRIDGE, uplinks=("eth0",)),),
)
ESX = Host(
    name="esx9",
    hypervisor=Hypervisor.ESXI,
    version="8.0.3",
    cluster="c1",
    switches=(NativeSwitch(name="dvs1", kind=SwitchKind.VDS, version="8.0.0", uplinks=("vmnic0",)),),
    facts={"edition": "enterprise-plus", "spare_vcpus": 4, "spare_memory_gib": 8},
)


def changed(host, **fields):
    keep = {name: getattr(host, name) for name in host.__slots__}
    return Host(**{**keep, **fields})


@given(host=hosts, current=schemes)
def test_every_host_gets_a_verdict_with_code_sentence_and_source_for_every_scheme(host, current):
    found = verdicts(host, current)

    assert set(found) == set(Scheme)
    for scheme, verdict in found.items():
        assert verdict.scheme is scheme
        assert verdict.code.replace("_", "").isalnum()
        assert verdict.code.isupper()
        assert verdict.reason.endswith(".")
        assert verdict.source
        assert verdict.possible or not verdict.advised
        assert verdict.possible or not verdict.warnings


@given(host=hosts, preference=preferences, current=schemes, load=loads)
def test_what_is_chosen_is_possible_and_everything_else_is_rejected_with_a_reason(
    host, preference, current, load
):
    plan = choose(host, preference, current=current, load=load)

    assert plan.because
    assert {verdict.scheme for verdict in plan.rejected} == set(Scheme) - {plan.scheme}
    assert all(verdict.code and verdict.reason and verdict.source for verdict in plan.rejected)
    if plan.scheme is None:
        assert host.scheme is None or not plan.verdicts[host.scheme].possible
        return
    assert plan.verdicts[plan.scheme].possible
    assert host.scheme in (None, plan.scheme)
    if host.scheme is None:
        assert plan.verdicts[plan.scheme].advised
        assert plan.predicts.controlled >= preference.floor.controlled
        assert plan.predicts.observed >= preference.floor.observed


@given(host=hosts, preference=preferences, current=schemes, load=loads)
def test_a_choice_once_made_is_made_again(host, preference, current, load):
    first = choose(host, preference, current=current, load=load).scheme

    assert choose(host, preference, current=first or current, load=load).scheme is first


@given(host=hosts, load=loads, scheme=st.sampled_from(Scheme))
def test_predictions_are_shares_and_what_is_governed_is_also_seen(host, load, scheme):
    prediction = SCHEMES[scheme].predict(host, load)

    assert 0.0 <= prediction.controlled <= prediction.observed <= 1.0


@given(host=hosts, load=loads, scheme=st.sampled_from(Scheme))
def test_a_scheme_in_force_leaves_nothing_to_do_but_to_check_functions_that_a_card_lacks(host, load, scheme):
    nic = traits.smart_nic(host)
    lacks = scheme is Scheme.NIC and nic is not None and load.ports > nic.sriov_vfs

    left = SCHEMES[scheme].steps(host, load, scheme)

    assert SCHEMES[scheme].SCHEME is scheme
    assert [step.do for step in left] == (["check"] if lacks else [])


@pytest.mark.parametrize("table", TABLES.values(), ids=list(TABLES))
@pytest.mark.parametrize("scheme", Scheme)
def test_the_last_row_for_a_scheme_fits_every_host(table, scheme):
    bare = Host(name="h", hypervisor=table.hypervisor)

    *_, last = table.rows_of(scheme)

    assert last.fits(bare)
    assert last.versions == (None, None)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("8.0.3", (8, 0, 3)),
        ("VMware ESXi 8.0 U3", (8, 0, 3)),
        ("6.5.0 Update 1", (6, 5, 1)),
        ("6.5", (6, 5, 0)),
        ("XCP-ng 8.3.0", (8, 3, 0)),
        ("", None),
        ("next", None),
    ],
)
def test_versions_are_read_as_vendors_write_them(text, version):
    assert parse(text) == version


@pytest.mark.parametrize(
    ("host", "scheme"),
    [
        (KVM_OVS, Scheme.BASELINE),
        (KVM_BRIDGE, Scheme.SUBSTITUTION),
        (ESX, Scheme.APPLIANCE),
        (changed(ESX, facts={**ESX.facts, "spare_vcpus": 1}), Scheme.SEPARATION),
        (changed(ESX, facts={"edition": "free"}), None),
        (changed(ESX, facts={"nsx": True}), Scheme.VENDOR),
        (changed(ESX, version="5.5"), Scheme.SEPARATION),
        (changed(ESX, version="whatever"), Scheme.SEPARATION),
        (Host(name="x", hypervisor=Hypervisor.KVM), Scheme.SUBSTITUTION),
        (Host(name="x", hypervisor=Hypervisor.XEN, version="8.3"), Scheme.BASELINE),
        (
            Host(name="x", hypervisor=Hypervisor.XEN, version="8.3", facts={"network_backend": "bridge"}),
            Scheme.SUBSTITUTION,
        ),
        (
            Host(name="x", hypervisor=Hypervisor.XEN, version="8.3", facts={"dom0_locked": True}),
            Scheme.SEPARATION,
        ),
        (
            Host(name="x", hypervisor=Hypervisor.XEN, version="8.3", facts={"sdn_controller": "xo"}),
            Scheme.SEPARATION,
        ),
        (Host(name="x", hypervisor=Hypervisor.XEN, facts={"orchestrator": "nova"}), None),
        (
            Host(
                name="x",
                hypervisor=Hypervisor.KVM,
                nics=(Nic(name="p0", dpu="MT1"),),
                switches=KVM_OVS.switches,
            ),
            Scheme.BASELINE,
        ),
    ],
)
def test_the_default_preference_chooses(host, scheme):
    assert choose(host, Preference()).scheme is scheme


@pytest.mark.parametrize(
    ("host", "scheme", "code"),
    [
        (KVM_OVS, Scheme.SUBSTITUTION, "ALREADY_OPEN_VSWITCH"),
        (KVM_OVS, Scheme.SEPARATION, "NO_NATIVE_SWITCH"),
        (KVM_BRIDGE, Scheme.BASELINE, "NO_OPEN_VSWITCH"),
        (ESX, Scheme.SUBSTITUTION, "ESXI_NO_THIRD_PARTY_VSWITCH"),
        (changed(ESX, version="6.5 U1"), Scheme.SUBSTITUTION, "ESXI_ONLY_SIGNED_VSWITCHES"),
        (changed(ESX, version=""), Scheme.SUBSTITUTION, "ESXI_NO_THIRD_PARTY_VSWITCH"),
        (ESX, Scheme.APPLIANCE, "ESXI_APPLIANCE_VDS"),
        (changed(ESX, version="6.5"), Scheme.APPLIANCE, "ESXI_APPLIANCE_VDS_PROMISCUOUS"),
        (
            changed(ESX, switches=(NativeSwitch(name="d", kind=SwitchKind.VDS, version="6.5.0"),)),
            Scheme.APPLIANCE,
            "ESXI_APPLIANCE_VDS",
        ),
        (
            changed(ESX, facts={**ESX.facts, "vcenter_version": "6.5.0"}),
            Scheme.APPLIANCE,
            "ESXI_APPLIANCE_VDS_PROMISCUOUS",
        ),
        (changed(ESX, switches=(), facts={"edition": "standard"}), Scheme.APPLIANCE, "ESXI_APPLIANCE_VSS"),
        (
            changed(ESX, switches=(), facts={}, cluster=None),
            Scheme.APPLIANCE,
            "ESXI_APPLIANCE_VSS_STANDALONE",
        ),
        (changed(ESX, nics=(Nic(name="p", dpu="MT1"),)), Scheme.NIC, "ESXI_DPU_NSX_ONLY"),
        (changed(ESX, nics=(Nic(name="p", dpu="MT1", sriov_vfs=8),)), Scheme.NIC, "ESXI_PASSTHROUGH_ONLY"),
    ],
)
def test_a_verdict_names_the_fact_it_rests_on(host, scheme, code):
    assert verdicts(host)[scheme].code == code


def test_a_standard_switch_without_uplinks_warns_that_there_is_no_vmotion():
    host = changed(ESX, switches=(), facts={"edition": "standard"})

    assert any("vMotion" in warning for warning in verdicts(host)[Scheme.APPLIANCE].warnings)


def test_a_pinned_scheme_is_taken_even_if_it_is_not_advised():
    plan = choose(changed(KVM_OVS, scheme=Scheme.APPLIANCE), Preference())

    assert plan.scheme is Scheme.APPLIANCE
    assert plan.because[0] == "The operator pinned appliance."
    assert any("not be chosen unasked" in sentence for sentence in plan.because)


def test_a_pinned_scheme_that_is_impossible_leaves_the_host_without_one_and_says_why():
    plan = choose(changed(ESX, scheme=Scheme.SUBSTITUTION), Preference())

    assert plan.scheme is None
    assert "substitution" in plan.because[0]
    assert "ESXI_NO_THIRD_PARTY_VSWITCH" in plan.because[0]
    assert plan.rejected[0].code == "ESXI_NO_THIRD_PARTY_VSWITCH"


def test_a_floor_keeps_separation_away_and_says_so():
    floor = Preference(prefer=(Scheme.SEPARATION,), floor=Floor(controlled=1.0))

    plan = choose(KVM_BRIDGE, floor, load=Load(local={"web": 2}))

    assert plan.scheme is Scheme.SUBSTITUTION
    assert {v.scheme: v.code for v in plan.rejected}[Scheme.SEPARATION] == "BELOW_FLOOR"
    assert "separation (BELOW_FLOOR)" in plan.because[0]


def test_one_port_alone_on_its_network_does_not_escape_under_separation():
    alone = SCHEMES[Scheme.SEPARATION].predict(KVM_BRIDGE, Load(local={"web": 1}))
    beside = SCHEMES[Scheme.SEPARATION].predict(KVM_BRIDGE, Load(local={"web": 1}, beyond={"web": 1}))

    assert (alone.controlled, beside.controlled) == (1.0, 0.0)
    assert beside.observed == 1.0


def test_among_schemes_that_are_equally_preferred_the_current_one_stays():
    nothing_preferred = Preference(prefer=())

    assert choose(KVM_BRIDGE, nothing_preferred, current=Scheme.SEPARATION).scheme is Scheme.SEPARATION
    assert choose(KVM_BRIDGE, nothing_preferred, current=Scheme.SUBSTITUTION).scheme is Scheme.SUBSTITUTION


def test_a_host_whose_bridge_was_replaced_stays_under_substitution():
    replaced = choose(KVM_OVS, Preference(), current=Scheme.SUBSTITUTION)
    pinned = choose(changed(KVM_OVS, scheme=Scheme.SUBSTITUTION), Preference())

    assert replaced.scheme is Scheme.SUBSTITUTION
    assert pinned.scheme is Scheme.SUBSTITUTION


def test_substitution_says_step_by_step_what_happens_to_the_host():
    steps = SCHEMES[Scheme.SUBSTITUTION].steps(KVM_BRIDGE, Load(local={"web": 2}), None)

    assert [f"{step.do} {step.what}" for step in steps] == [
        "start Open vSwitch",
        "create integration bridge br-int",
        "create provider bridge for the physical networks, with its mappings",
        "register chassis kvm3 at the SDN controller, through ovn-controller",
        "move uplink eth0 and the host's addresses and routes from bridge br0 to Open vSwitch",
        "move 2 vNICs to br-int, each bound as vif",
        "remove Linux bridge br0, once it is empty",
    ]


def test_a_scheme_whose_driver_is_not_built_waits_for_it_and_names_it():
    step = SCHEMES[Scheme.APPLIANCE].steps(KVM_BRIDGE, Load(), None)[0]

    assert step.do == "wait"
    assert step.what.startswith("driver appliance is not part of this release")


def test_a_card_is_checked_not_changed_and_its_own_open_vswitch_is_set_up():
    dpu = changed(KVM_BRIDGE, nics=(Nic(name="p0", dpu="MT1", sriov_vfs=8),))

    assert [
        f"{step.do} on {step.on}: {step.what}"
        for step in SCHEMES[Scheme.NIC].steps(dpu, Load(local={"web": 2}), None)
    ] == [
        "check on DPU MT1 of kvm3: virtual functions and switchdev mode of p0",
        "set on DPU MT1 of kvm3: hardware offload of Open vSwitch",
        "create on DPU MT1 of kvm3: integration bridge br-int",
        "create on DPU MT1 of kvm3: provider bridge for the physical networks, with its mappings",
        "register on DPU MT1 of kvm3: chassis kvm3 at the SDN controller, through ovn-controller",
        "move on kvm3: 2 vNICs to representors of p0, each bound as representor",
    ]


@pytest.mark.parametrize("kind", [SwitchKind.VSS, SwitchKind.VDS])
def test_under_separation_vsphere_counts_on_every_vnic_so_amounts_are_observed(kind):
    stays = changed(ESX, switches=(NativeSwitch(name="s", kind=kind, uplinks=("vmnic0",)),))
    crowded = Load(local={"web": 2})

    promised = SCHEMES[Scheme.SEPARATION].predict(stays, crowded)
    around = SCHEMES[Scheme.SEPARATION].predict(
        changed(stays, facts={**stays.facts, "passthrough_vnics": 1}), crowded
    )

    assert (promised.controlled, promised.observed) == (0.0, 1.0)
    assert around.observed == 0.0


def test_of_a_standard_switch_it_is_said_what_is_not_seen():
    stays = changed(ESX, switches=(NativeSwitch(name="s", kind=SwitchKind.VSS, uplinks=("vmnic0",)),))

    warnings = " ".join(verdicts(stays)[Scheme.SEPARATION].warnings)

    assert "to whom is not" in warnings
