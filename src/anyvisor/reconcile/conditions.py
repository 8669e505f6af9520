# SPDX-License-Identifier: Apache-2.0
"""What is said of each object once a round is over. Pure: the same words in `view`, `explain` and the database."""

from __future__ import annotations

from anyvisor.model.condition import Condition
from anyvisor.model.kinds import AttachmentKind, Scheme
from anyvisor.model.names import HostName, ObjectKey, PortName
from anyvisor.model.state import HostState, Plugged, State
from anyvisor.planner.admission import held_back
from anyvisor.planner.facts import traits
from anyvisor.planner.fleet import Fleet
from anyvisor.planner.logical import kind_of_port
from anyvisor.reconcile import findings

READY = "Ready"


def ready(reason: str, message: str = "") -> Condition:
    """It is as the intent says."""
    return Condition(kind=READY, true=True, reason=reason, message=message)


def not_ready(reason: str, message: str) -> Condition:
    """It is not, and why."""
    return Condition(kind=READY, true=False, reason=reason, message=message)


def of_host(fleet: Fleet, state: State, name: HostName) -> Condition:
    """A host is ready when the scheme that was chosen is in force."""
    chosen = fleet.schemes.get(name)
    known = state.hosts.get(name)
    carried = known.carried if known is not None else None
    if carried is None and chosen is Scheme.APPLIANCE:
        return not_ready("WaitsForAgent", f"the appliance of {name} has not reported yet")
    if carried is None and chosen is Scheme.VENDOR:
        return not_ready("WaitsForManager", f"no manager has taken {name} in hand yet")
    if carried is None:
        return not_ready(
            "WaitsForAgent", f"no agent has reported from {name} yet; is `anyvisor agent` running there?"
        )
    failed = (
        next((c for c in known.conditions if not c.true and c.kind == findings.CONVERTED), None)
        if known
        else None
    )
    if carried is not chosen:
        detail = f": {failed.message}" if failed is not None else ""
        return not_ready(
            "Converting" if failed is None else failed.reason,
            f"{carried} is in force, {chosen} is wanted{detail}",
        )
    if failed is not None and failed.reason == findings.SETTLING:
        return not_ready(findings.SETTLING, failed.message)
    card = (
        next((c for c in known.conditions if not c.true and c.kind == findings.CARD), None) if known else None
    )
    if chosen is Scheme.NIC and card is not None:
        return not_ready(f"Card{card.reason}", card.message)
    return ready("InForce", f"{chosen} is in force")


def of_port(fleet: Fleet, state: State, name: PortName, *, up: bool) -> Condition:
    """A port is ready when its vNIC is attached and the flows for it are installed."""
    port = fleet.port(name)
    if port.host is None:
        return not_ready("NotPlaced", "no host is named for it")
    plugged = state.plugged.get(name)
    device = plugged.device if plugged is not None else None
    kind = kind_of_port(fleet, name)
    if kind.is_station:
        if fleet.has_fallen(name):
            return _fallen(port.host, plugged)
        if device is None:
            return not_ready("WaitsForVnic", f"no vNIC with its MAC was seen on {port.host}")
        if kind is AttachmentKind.ENTITY:
            return ready("InVendorsHands", f"{device} is on the network that the vendor keeps on {port.host}")
        return ready("BehindNativeSwitch", f"{device} is on the native switch of {port.host}")
    if kind.is_trunked and not _let_in(fleet, state, name, plugged):
        known = state.hosts.get(port.host, HostState())
        held = held_back(known, fleet.site.networks[port.network], fleet.underlay_mtu)
        if held is not None and device is not None:
            return not_ready(held.reason, held.message)
        return not_ready("WaitsForVnic", f"no vNIC with its MAC is plugged into its group on {port.host} yet")
    if up:
        return ready("Up", f"bound on {port.host}")
    if device is None:
        return not_ready("WaitsForVnic", f"no vNIC with its MAC was seen on {port.host}")
    return not_ready("WaitsForFlows", f"{device} is plugged on {port.host}; its flows are not installed yet")


def _let_in(fleet: Fleet, state: State, name: PortName, plugged: Plugged | None) -> bool:
    """Its vNIC is on the inner switch: a manager's driver says which card, an agent beside the switch which VLANs."""
    attachment = fleet.attachments.get(name)
    if attachment is not None and traits.inner_by_agent(fleet.host(attachment.host)):
        return attachment.vlan in (state.hosts.get(attachment.host, HostState()).inner_vlans or ())
    return plugged is not None and plugged.card is not None


def _fallen(host: HostName, plugged: Plugged | None) -> Condition:
    if plugged is None or plugged.card is None:
        return not_ready(
            "FallsOpen", f"no appliance of {host} serves; its vNIC is on its way to the native switch"
        )
    return ready("FallenOpen", f"no appliance of {host} serves: behind the native switch, unfiltered")


def written(key: ObjectKey) -> Condition:
    """Networks, routers and groups are ready once the controller holds them."""
    return ready("Written", f"{key.kind} is in the controller")
