# SPDX-License-Identifier: Apache-2.0
"""Which rights the account needs, and which it lacks. The table stands in docs/reference/vsphere.md, too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from anyvisor.drivers.vsphere.api import vim
from anyvisor.drivers.vsphere.collector import properties
from anyvisor.drivers.vsphere.folders import datacenters
from anyvisor.drivers.vsphere.hosts import key_of
from anyvisor.drivers.vsphere.session import Open
from anyvisor.model.estate import MissingRight


@dataclass(frozen=True, slots=True)
class Right:
    """A privilege as vSphere names it, and what it is for. `vcenter`: a lone host has no use for it."""

    name: str
    purpose: str
    vcenter: bool = True


RIGHTS = (
    Right("System.Read", "see hosts, VMs, switches and port groups", vcenter=False),
    Right("DVSwitch.Create", "make inner switches"),
    Right("DVSwitch.Modify", "let hosts take part in an inner switch"),
    Right("DVSwitch.HostOp", "let hosts take part in an inner switch"),
    Right("DVSwitch.Delete", "remove inner switches"),
    Right("DVPortgroup.Create", "make port groups"),
    Right("DVPortgroup.Modify", "change port groups of ours"),
    Right("DVPortgroup.Delete", "remove port groups of ours"),
    Right("Network.Assign", "plug cards into port groups", vcenter=False),
    Right("Host.Config.Network", "standard switches and their port groups", vcenter=False),
    Right("Host.Config.AutoStart", "start an appliance with its host", vcenter=False),
    Right("Host.Inventory.EditCluster", "pin appliances to their hosts"),
    Right("VirtualMachine.Config.EditDevice", "plug cards, fence appliances", vcenter=False),
    Right("VirtualMachine.Config.AdvancedConfig", "remember with a VM where its cards were", vcenter=False),
    Right("VirtualMachine.Config.AddRemoveDevice", "give an appliance its cards"),
    Right("VirtualMachine.Provisioning.DeployTemplate", "make appliances"),
    Right("VirtualMachine.Inventory.CreateFromExisting", "make appliances"),
    Right("VirtualMachine.Inventory.Delete", "remove appliances", vcenter=False),
    Right("VirtualMachine.Interact.PowerOn", "start appliances", vcenter=False),
    Right("VirtualMachine.Interact.PowerOff", "stop appliances", vcenter=False),
    Right("Resource.AssignVMToPool", "make appliances"),
    Right("Datastore.AllocateSpace", "make appliances"),
)


def missing(opened: Open) -> tuple[MissingRight, ...]:
    """The rights that the account has neither on everything nor on each datacenter."""
    content = opened.content
    vcenter = content.about.apiType == "VirtualCenter"
    wanted = [right.name for right in RIGHTS if vcenter or not right.vcenter]
    key = str(key_of(content.sessionManager))
    session = (
        properties(opened, vim.SessionManager, [key], ("currentSession",)).get(key, {}).get("currentSession")
    )
    if session is None:
        raise vim.fault.NotAuthenticated(msg="there is no session")
    root = str(key_of(content.rootFolder))
    entities = [content.rootFolder, *(datacenters(opened) if vcenter else ())]
    answer = content.authorizationManager.HasPrivilegeOnEntities(entities, session.key, wanted)
    absent = set(lacking(wanted, root, granted(answer)))
    return tuple(MissingRight(right.name, right.purpose) for right in RIGHTS if right.name in absent)


def granted(answer: Iterable[Any]) -> dict[str, set[str]]:
    """The rights by entity."""
    return {
        str(key_of(each.entity)): {item.privId for item in each.privAvailability or () if item.isGranted}
        for each in answer
    }


def lacking(wanted: Iterable[str], root: str, held: Mapping[str, set[str]]) -> tuple[str, ...]:
    """Of the wanted rights those that are held neither at the root nor on each of the other entities."""
    others = [rights for entity, rights in held.items() if entity != root]
    everywhere = set.intersection(*others) if others else set()
    return tuple(name for name in wanted if name not in held.get(root, set()) | everywhere)
