# SPDX-License-Identifier: Apache-2.0
"""Rights that are missing are named before they are needed, and when they are."""

import pytest

from anyvisor.drivers.vsphere.rights import RIGHTS
from anyvisor.errors import TerminalError
from anyvisor.model.estate import MissingRight
from anyvisor.model.kinds import SwitchKind


@pytest.mark.parametrize("right", [right.name for right in RIGHTS if not right.name.startswith("System")])
def test_a_missing_right_is_named(elsewhere, data_center, right):
    estate = elsewhere({**data_center, "user": {"denied": [right]}})

    purpose = next(each.purpose for each in RIGHTS if each.name == right)
    assert estate.missing_rights() == (MissingRight(right, purpose),)


def test_a_lone_host_needs_fewer(elsewhere, world):
    lone = world.esxi(name="lone", user={"privileges": [right.name for right in RIGHTS if not right.vcenter]})

    assert elsewhere(lone).missing_rights() == ()


@pytest.mark.parametrize(
    ("right", "make"),
    [
        ("DVSwitch.Create", lambda steps, card: [steps.switch()]),
        ("DVSwitch.Modify", lambda steps, card: [steps.switch()]),
        ("DVPortgroup.Create", lambda steps, card: [steps.switch(), steps.group("x", 5)]),
        (
            "DVPortgroup.Modify",
            lambda steps, card: [steps.switch(), steps.group("x", 5), steps.group("x", 6)],
        ),
        (
            "VirtualMachine.Config.EditDevice",
            lambda steps, card: [steps.switch(), steps.group("x", 5), steps.plug(card, "x")],
        ),
        (
            "VirtualMachine.Provisioning.DeployTemplate",
            lambda steps, card: [steps.switch(), steps.trunk(), steps.deploy()],
        ),
        ("Host.Inventory.EditCluster", lambda steps, card: [steps.switch(), steps.trunk(), steps.deploy()]),
        (
            "Host.Config.Network",
            lambda steps, card: [steps.switch("esx1", kind=SwitchKind.VSS, name=steps.own)],
        ),
    ],
)
def test_a_step_without_its_right_says_which(elsewhere, data_center, steps, right, make):
    estate = elsewhere({**data_center, "user": {"denied": [right]}})
    (card,) = (card for card in estate.estate().cards.values() if card.vm == "web")

    with pytest.raises(TerminalError, match=f"the right {right} is missing"):
        estate.apply(make(steps, card.id))
