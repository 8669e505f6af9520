# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyvisor.errors import TerminalError
from anyvisor.lab.conformance.cell import cells
from anyvisor.model.kinds import AttachmentKind, Scheme, TagPer

OTHERS = ("esx1", "esx2", "esx3", "esx4", "esx5", "xen1")


def test_cells_are_what_carries_the_hosts_not_what_they_came_with(topology, state_with):
    found = cells(topology, state_with())

    assert [(cell.title, cell.host) for cell in found] == [
        ("kvm/baseline", "kvm1"),
        ("kvm/separation", "kvm2"),
        ("kvm/substitution", "kvm3"),
        ("kvm/nic", "kvm4"),
        ("esxi/separation", "esx1"),
        ("esxi/appliance", "esx2"),
        ("esxi/appliance, no agent", "esx3"),
        ("esxi/vendor", "esx4"),
        ("esxi/nic", "esx5"),
        ("xen/nic", "xen1"),
    ]
    kinds = {cell.host: cell.kinds for cell in found}
    assert (kinds["esx3"], kinds["esx4"]) == ((AttachmentKind.CHILD,), (AttachmentKind.ENTITY,))
    assert kinds["kvm4"] == kinds["esx5"] == kinds["xen1"] == (AttachmentKind.REPRESENTOR,)
    assert all(cell.server.startswith(cell.host) for cell in found)
    assert {cell.scheme for cell in found if cell.tunnelled} == {
        Scheme.BASELINE,
        Scheme.SUBSTITUTION,
        Scheme.NIC,
        Scheme.APPLIANCE,
    }
    assert all(cell.client.startswith(cell.host) for cell in found)


def test_a_shared_tag_makes_another_cell_where_there_is_one(topology, state_with):
    state = state_with()
    appliance = replace(state.site.policy.appliance, tags=TagPer.NETWORK)
    site = replace(state.site, policy=replace(state.site.policy, appliance=appliance))

    found = {cell.host: cell.title for cell in cells(topology, replace(state, site=site))}

    assert found["esx2"] == "esxi/appliance, shared tag"
    assert found["esx3"] == "esxi/appliance, no agent", "child ports share none"


@given(scheme=st.sampled_from(Scheme))
def test_a_new_scheme_on_a_host_is_a_new_cell_without_more_ado(topology, state_with, scheme):
    others = dict.fromkeys(("kvm1", "kvm3", "kvm4", *OTHERS))

    found = cells(topology, state_with(kvm2=scheme, **others))

    assert [(cell.title, cell.host) for cell in found] == [(f"kvm/{scheme}", "kvm2")]


def test_a_host_that_nothing_carries_is_no_cell(topology, state_with):
    assert "kvm2" not in {cell.host for cell in cells(topology, state_with(kvm2=None))}


def test_no_cell_hides_another(topology, state_with):
    with pytest.raises(TerminalError, match="kvm2 and kvm3 are both kvm/separation"):
        cells(topology, state_with(kvm3=Scheme.SEPARATION))
