# SPDX-License-Identifier: Apache-2.0
"""What an agent says of its host. Pure: the words that end in the database, the view and `explain`."""

from __future__ import annotations

from collections.abc import Iterable

from anyvisor.errors import (
    AnyvisorError,
    ForeignObjectError,
    RolledBackError,
    TerminalError,
    UnreachableError,
)
from anyvisor.model.condition import CARD_READY, LEGACY, Condition

AGENT = "AgentReady"
CARD = CARD_READY
CHASSIS = "ChassisReady"
INNER = "InnerSwitch"
CONVERTED = "Converted"
SETTLING = "Settling"
VNICS = "VnicsPlugged"


def agent_ready() -> Condition:
    """The agent is at work."""
    return Condition(kind=AGENT, true=True, reason="Running")


def chassis_ready(problems: Iterable[str]) -> Condition:
    """Open vSwitch is set up for the controller, or what is missing."""
    listed = sorted(problems)
    if listed:
        return Condition(kind=CHASSIS, true=False, reason="Incomplete", message="; ".join(listed))
    return Condition(kind=CHASSIS, true=True, reason="Configured")


def card_ready(problems: Iterable[str], *, legacy: bool = False) -> Condition:
    """The network card switches for its host, or what keeps it from that. `legacy`: it switches unseen."""
    listed = tuple(problems)
    if listed:
        reason = LEGACY if legacy else "Incomplete"
        return Condition(kind=CARD, true=False, reason=reason, message="; ".join(listed))
    return Condition(kind=CARD, true=True, reason="Switchdev")


def inner_switch(problems: Iterable[str]) -> Condition:
    """The vNICs of an appliance's host are kept apart, or what keeps them out."""
    listed = sorted(problems)
    if listed:
        return Condition(kind=INNER, true=False, reason="Incomplete", message="; ".join(listed))
    return Condition(kind=INNER, true=True, reason="Parted")


def settling() -> Condition:
    """A conversion's last step: the vNICs are on the new switch, how long they were cut off is not known yet."""
    message = "the vNICs have moved; the controller is connecting them"
    return Condition(kind=CONVERTED, true=False, reason=SETTLING, message=message)


def vnics_plugged(problems: Iterable[str]) -> tuple[Condition, ...]:
    """Only said where some vNIC is not plugged as wanted."""
    listed = sorted(problems)
    if not listed:
        return ()
    return (Condition(kind=VNICS, true=False, reason="Incomplete", message="; ".join(listed)),)


def failed(kind: str, error: AnyvisorError) -> Condition:
    """What went wrong, and what to do about it where that is known."""
    message = f"{error} ({error.hint})" if error.hint else str(error)
    return Condition(kind=kind, true=False, reason=reason_of(error), message=message)


def reason_of(error: AnyvisorError) -> str:
    """The word for programs."""
    match error:
        case RolledBackError():
            return "RolledBack"
        case ForeignObjectError():
            return "Foreign"
        case UnreachableError():
            return "Unreachable"
        case TerminalError():
            return "Refused"
        case _:
            return "TriesAgain"
