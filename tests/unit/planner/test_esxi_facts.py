# SPDX-License-Identifier: Apache-2.0
"""What ESXi hosts are refused, and what they are warned of, to the letter: people act on these words."""

from dataclasses import replace

import pytest

from anyvisor.model.host import Host, NativeSwitch, Nic
from anyvisor.model.kinds import Hypervisor, Scheme, SwitchKind
from anyvisor.model.policy import Preference
from anyvisor.planner.choose import choose
from anyvisor.planner.facts.table import verdict

NSX = NativeSwitch(name="nsx", kind=SwitchKind.NSX)
VDS = NativeSwitch(name="dvs", kind=SwitchKind.VDS, version="8.0.0", uplinks=("vmnic0",))
VSS = NativeSwitch(name="vSwitch0", kind=SwitchKind.VSS, uplinks=("vmnic0",))
KB = "VMware KB 2149722: discontinuation of the third party vSwitch programme"


def esx(*switches, version="8.0.3", **facts):
    return Host(
        name="esx1",
        hypervisor=Hypervisor.ESXI,
        version=version,
        cluster="c1",
        switches=switches or (VDS,),
        nics=(Nic(name="vmnic0", physical="fabric"),),
        facts={"vcenter": True, "vds_license": True, "spare_vcpus": 8, "spare_memory_gib": 32, **facts},
    )


@pytest.mark.parametrize("host", [esx(VDS, NSX), esx(nsx=True)], ids=["opaque switch", "port group"])
@pytest.mark.parametrize("scheme", [Scheme.SEPARATION, Scheme.APPLIANCE])
def test_a_host_of_nsx_is_refused_to_everybody_else(host, scheme):
    said = verdict(host, scheme)

    assert (said.possible, said.code, said.warnings) == (False, "ESXI_NSX_OWNS_NETWORKS", ())
    assert said.reason == (
        "NSX owns the networks of this host; a second hand on its port groups would be undone or do harm."
    )
    assert said.source == "vSphere API: DVPortgroup backingType nsx (7.0), OpaqueNetwork"


@pytest.mark.parametrize("scheme", [Scheme.SEPARATION, Scheme.APPLIANCE])
def test_pinning_a_scheme_does_not_take_a_host_from_nsx(scheme):
    host = esx(VDS, NSX)
    pinned = Host(
        name=host.name,
        hypervisor=host.hypervisor,
        version=host.version,
        switches=host.switches,
        scheme=scheme,
    )

    plan = choose(pinned, Preference())

    assert plan.scheme is None
    assert "ESXI_NSX_OWNS_NETWORKS" in plan.because[0]


@pytest.mark.parametrize("scheme", [Scheme.SEPARATION, Scheme.APPLIANCE, Scheme.VENDOR])
def test_under_the_free_licence_nothing_can_be_changed(scheme):
    said = verdict(esx(VSS, edition="free", vcenter=False, vds_license=False), scheme)

    assert (said.possible, said.code) == (False, "ESXI_FREE_API_READ_ONLY")
    assert said.reason == (
        "The free licence lets the API only read, so nothing on the host can be changed from outside."
    )
    assert said.source == "vSphere API: fault RestrictedVersion under the free vSphere Hypervisor licence"


@pytest.mark.parametrize("scheme", Scheme)
def test_under_the_free_licence_no_scheme_is_left(scheme):
    assert not verdict(esx(VSS, edition="free", vcenter=False), scheme).possible


OFFLOADED = {
    Scheme.SEPARATION: "A distributed switch offloaded to a DPU filters nothing at all.",
    Scheme.APPLIANCE: (
        "A distributed switch of this host is offloaded to a DPU: the appliance needs one that is not."
    ),
}
FT = "VMs under Fault Tolerance must be checked vNIC by vNIC before they are moved behind the appliance."
PASSED_THROUGH = (
    "vNICs passed through to VMs (passthrough_vnics) meet no virtual switch: their traffic escapes."
)


def cautions(scheme, **facts):
    """What such a host is warned of beyond any other."""
    said = verdict(esx(**facts), scheme)
    assert said.possible
    return set(said.warnings) - set(verdict(esx(), scheme).warnings)


@pytest.mark.parametrize("scheme", OFFLOADED)
def test_an_offloaded_switch_is_warned_of(scheme):
    assert cautions(scheme, vds_offload=True) == {OFFLOADED[scheme]}


def test_fault_tolerance_is_warned_of_where_vnics_move():
    assert cautions(Scheme.APPLIANCE, fault_tolerance=True) == {FT}
    assert cautions(Scheme.SEPARATION, fault_tolerance=True) == set()


@pytest.mark.parametrize("scheme", [Scheme.SEPARATION, Scheme.APPLIANCE, Scheme.VENDOR])
def test_vnics_that_are_passed_through_are_warned_of(scheme):
    assert cautions(scheme, passthrough_vnics=2) == {PASSED_THROUGH}
    assert cautions(scheme, passthrough_vnics=0) == set()


def test_a_warning_of_the_chosen_scheme_stands_among_its_reasons():
    plan = choose(esx(fault_tolerance=True, vds_offload=True, passthrough_vnics=1), Preference())

    assert plan.scheme is Scheme.APPLIANCE
    assert {f"Note: {text}" for text in (FT, OFFLOADED[Scheme.APPLIANCE], PASSED_THROUGH)} <= set(
        plan.because
    )


SIGNED = "Up to 6.5 U1 only switches signed by VMware could be installed, and Open vSwitch never was one."
ENDED = "VMware ended the programme for third-party virtual switches; 6.5 U1 was the last release with them."


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        *(
            (version, SIGNED)
            for version in ("5.5", "6.0", "6.0.0 Update 3", "6.5", "6.5 U1", "6.5.0 Update 1")
        ),
        *((version, ENDED) for version in ("6.5 U2", "6.5.0 Update 3", "6.7", "6.7.0 Update 3")),
        *((version, ENDED) for version in ("7", "7.0.3", "8", "8.0 U3", "9", "9.0.1", "12")),
        *((version, ENDED) for version in ("", "whatever", "unknown")),
    ],
)
def test_the_switch_of_an_esxi_host_is_replaced_in_no_version(version, reason):
    said = verdict(esx(version=version), Scheme.SUBSTITUTION)

    code = "ESXI_ONLY_SIGNED_VSWITCHES" if reason is SIGNED else "ESXI_NO_THIRD_PARTY_VSWITCH"
    assert (said.possible, said.code, said.reason, said.source) == (False, code, reason, KB)


@pytest.mark.parametrize("version", ["5.5", "6.0", "6.5 U1", "6.5 U2", "6.7", "7", "8", "9", ""])
def test_pinning_substitution_changes_nothing_of_that(version):
    plan = choose(replace(esx(version=version), scheme=Scheme.SUBSTITUTION), Preference())

    assert plan.scheme is None
    assert "The operator pinned substitution, which is not possible here" in plan.because[0]
