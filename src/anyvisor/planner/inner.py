# SPDX-License-Identifier: Apache-2.0
"""The inner switch of a host under `appliance`: its name, the hosts it stretches over, the scope of its tags.

A distributed switch is one for a cluster, so that a VM that moves keeps its tag; a standard one is each host's own, and
so is the Linux bridge of a host that an agent serves.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from anyvisor.model.attachment import Attachment
from anyvisor.model.host import Host
from anyvisor.model.kinds import AttachmentKind, SwitchKind
from anyvisor.model.names import NetworkName, PortName, SwitchName
from anyvisor.planner.allocate import network_holder, network_of, switch_scope
from anyvisor.planner.chassis import INTEGRATION_BRIDGE
from anyvisor.planner.facts import traits

INTEGRATION = "integration"
"""What the group is for that is the integration bridge: the SDN controller binds each vNIC in it."""
FIRST_TAG, LAST_TAG = 2, 4094
"""VLAN 1 is what many switches take untagged frames for: no vNIC is put there."""
_MARK = 8
_NAME_MAX = 80
"""vSphere has no longer names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InnerPlace:
    """Where a host's vNICs are kept apart. `scope` is that of its tags (see `anyvisor.model.state.Tag`)."""

    switch: SwitchName
    kind: SwitchKind
    scope: str


def seat_traits(host: Host | None, owner: str) -> tuple[bool, InnerPlace] | None:
    """What the attachments of the vNICs of this host rest on, beside its scheme; None where there is no host."""
    if host is None:
        return None
    return traits.agentless(host), inner_place(host, owner)


def inner_place(host: Host, owner: str) -> InnerPlace:
    """The inner switch of a host; the same for all hosts of a cluster where it is distributed."""
    mark = owner[:_MARK]
    if traits.inner_by_agent(host):
        name = SwitchName(f"av-{mark}")
        return InnerPlace(switch=name, kind=SwitchKind.LINUX_BRIDGE, scope=switch_scope(host.name, name))
    if traits.may_use_vds(host):
        where = host.cluster or host.name
        name = SwitchName(f"av-{mark}-{where}")
        return InnerPlace(switch=name, kind=SwitchKind.VDS, scope=switch_scope(where, name))
    name = SwitchName(f"av-{mark}")
    return InnerPlace(switch=name, kind=SwitchKind.VSS, scope=switch_scope(host.name, name))


def tag_holder(port: PortName, network: NetworkName, *, shared: bool) -> str:
    """Who holds the tag of a vNIC on an inner switch: its port, or its network for all of them."""
    return network_holder(network) if shared else port


def shared_group_name(place: InnerPlace, network: NetworkName) -> str:
    """The name of the port group that all vNICs of a network share on an inner switch; no cluster's is another's."""
    name = f"{place.switch}++{network}"
    if len(name) <= _NAME_MAX:
        return name
    digest = hashlib.blake2s(name.encode(), digest_size=6).hexdigest()
    return f"{name[: _NAME_MAX - len(digest) - 1]}+{digest}"


def shared_key(network: NetworkName) -> str:
    """What such a group is for. Not the key of the network's group on a native switch with uplinks."""
    return f"inner/{network}"


def holder_key(holder: str) -> str:
    """What the group of a tag's holder is for."""
    network = network_of(holder)
    return port_key(PortName(holder)) if network is None else shared_key(network)


def group_name(owner: str, port: PortName) -> str:
    """The name of the port group of one vNIC."""
    return f"av-{owner[:_MARK]}-{port}"


def network_group_name(owner: str, network: NetworkName, switch: SwitchName | None = None) -> str:
    """The name of the port group of a network; `switch` is the distributed one that it is on, None for a standard one.

    Names of distributed port groups are unique in a whole datacenter, so each switch has a name of its own. No port has
    a plus sign in its name.
    """
    name = f"av-{owner[:_MARK]}+{network}"
    return name if switch is None else f"{name}+{hashlib.blake2s(switch.encode(), digest_size=2).hexdigest()}"


def trunk_name(place: InnerPlace) -> str:
    """The name of a trunk; names of distributed port groups are unique in a whole datacenter."""
    return f"{place.switch}+trunk"


def integration_name(owner: str) -> str:
    """The name of the group that is the integration bridge of a pool's hosts."""
    return f"av-{owner[:_MARK]}++{INTEGRATION_BRIDGE}"


def keys_of(attachment: Attachment) -> tuple[str, str]:
    """What the groups are for that its vNIC may be in: its own, and one that it has in common with others."""
    if attachment.kind is AttachmentKind.VIF:
        return port_key(attachment.port), INTEGRATION
    network = attachment.network
    return port_key(attachment.port), shared_key(network) if attachment.shared else f"network/{network}"


def port_key(port: PortName) -> str:
    """What a group of one vNIC is for, as `anyvisor.model.estate.Group` has it."""
    return f"port/{port}"
