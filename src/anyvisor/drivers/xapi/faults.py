# SPDX-License-Identifier: Apache-2.0
"""What went wrong in a call, in our own words: codes of XAPI, the connection, TLS.

Source: xen-api, ocaml/idl/datamodel_errors.ml.
"""

from __future__ import annotations

import socket
import ssl
import xmlrpc.client
from collections.abc import Sequence
from http.client import HTTPException
from xml.parsers.expat import ExpatError

from anyvisor.drivers.xapi.api import Failure
from anyvisor.errors import (
    AnyvisorError,
    ConflictError,
    ForeignObjectError,
    RetryableError,
    TerminalError,
    UnreachableError,
)

CONNECTION_ERRORS = (OSError, HTTPException, ExpatError, xmlrpc.client.Error)
CALL_ERRORS = (Failure, *CONNECTION_ERRORS)
"""Everything that a call can raise because of the other side."""
SLAVE = "HOST_IS_SLAVE"
SESSION_ENDED = 401
"""The fault with which the vendor's client says so, once it may not log in by itself."""

_TABLE: dict[str, tuple[type[AnyvisorError], str, str]] = {
    "SESSION_AUTHENTICATION_FAILED": (TerminalError, "it does not accept the user name or the password", ""),
    "RBAC_PERMISSION_DENIED": (
        TerminalError,
        "the right is missing",
        "give the account the role pool-operator: docs/reference/xen.md",
    ),
    "LICENCE_RESTRICTION": (TerminalError, "the licence does not allow it", ""),
    "OPERATION_NOT_ALLOWED": (TerminalError, "it is not allowed", ""),
    "MESSAGE_METHOD_UNKNOWN": (TerminalError, "it does not know that call: it is too old", ""),
    "MESSAGE_PARAMETER_COUNT_MISMATCH": (TerminalError, "it knows that call with other arguments", ""),
    "INVALID_VALUE": (TerminalError, "it does not accept a value", ""),
    "FIELD_TYPE_ERROR": (TerminalError, "it does not accept a value", ""),
    "VLAN_TAG_INVALID": (TerminalError, "that is no VLAN", ""),
    "PIF_IS_VLAN": (TerminalError, "the card is a VLAN itself", ""),
    "CANNOT_ADD_VLAN_TO_BOND_SLAVE": (TerminalError, "the card is part of a bond", ""),
    "NETWORK_UNMANAGED": (TerminalError, "XAPI does not manage the network", ""),
    "PIF_VLAN_EXISTS": (
        ForeignObjectError,
        "the VLAN has a network there already that is not ours",
        "remove that network, or give the site's network another VLAN",
    ),
    "VLAN_IN_USE": (ForeignObjectError, "the host uses that VLAN by itself", ""),
    "BRIDGE_NAME_EXISTS": (
        ForeignObjectError,
        "another network has that bridge",
        "remove the network of that bridge if it is a leftover",
    ),
    "NETWORK_ALREADY_CONNECTED": (ConflictError, "the host is connected to that network already", ""),
    "MAP_DUPLICATE_KEY": (ConflictError, "somebody else wrote it meanwhile", ""),
    "HANDLE_INVALID": (ConflictError, "it is gone", ""),
    "UUID_INVALID": (ConflictError, "it is gone", ""),
    "VIF_IN_USE": (RetryableError, "the network is in use by a VM", ""),
    "NETWORK_CONTAINS_VIF": (RetryableError, "the network is in use by a VM", ""),
    "NETWORK_CONTAINS_PIF": (RetryableError, "the network is in use by a card", ""),
    "OTHER_OPERATION_IN_PROGRESS": (RetryableError, "another task has it", ""),
    "HOST_OFFLINE": (RetryableError, "the host does not answer", ""),
    "HOST_CANNOT_ATTACH_NETWORK": (RetryableError, "the network does not reach the VM's host", ""),
    "BRIDGE_NOT_AVAILABLE": (
        RetryableError,
        "the bridge is not there on the VM's host",
        "does the agent run in its dom0?",
    ),
    SLAVE: (UnreachableError, "it is not the master of its pool now", ""),
    "SESSION_INVALID": (UnreachableError, "the session ended", ""),
    "HOST_STILL_BOOTING": (UnreachableError, "it is still booting", ""),
}


def translated(where: str, doing: str, error: Exception) -> AnyvisorError:
    """The error to raise ``from`` the original."""
    begin = f"{where}: {doing}" if doing else where
    if isinstance(error, Failure):
        return _of_failure(begin, [str(each) for each in error.details])
    if isinstance(error, ssl.SSLCertVerificationError):
        return TerminalError(
            f"{where}: its certificate is not trusted: {error.verify_message}",
            hint="name the certificate authority's file, or sha256: and the certificate's thumbprint, in `ca`",
        )
    if isinstance(error, socket.timeout):
        return UnreachableError(f"{begin}: no answer in time")
    if session_ended(error):
        return UnreachableError(f"{begin}: the session ended")
    if isinstance(error, xmlrpc.client.ProtocolError):
        return UnreachableError(f"{begin}: it answers with HTTP status {error.errcode}")
    said = str(error) or type(error).__name__
    return UnreachableError(f"{begin}: no connection: {said}")


def session_ended(error: Exception) -> bool:
    """Whether nothing was done since nobody was logged in."""
    return isinstance(error, xmlrpc.client.Fault) and error.faultCode == SESSION_ENDED


def master_of(error: Exception) -> str | None:
    """The address that a host of the pool names instead of its own."""
    if not isinstance(error, Failure) or error.details[:1] != [SLAVE]:
        return None
    return str(error.details[1]) if len(error.details) > 1 else None


def code_of(error: BaseException | None) -> str:
    """XAPI's code; ``""`` where it was something else."""
    return str(error.details[0]) if isinstance(error, Failure) and error.details else ""


def _of_failure(begin: str, details: Sequence[str]) -> AnyvisorError:
    code, rest = (details[0], details[1:]) if details else ("", ())
    listed = ", ".join([code, *(each for each in rest if each)])
    # What is not known may pass; it is reported either way.
    kind, words, hint = _TABLE.get(code, (RetryableError, "it was refused", ""))
    return kind(f"{begin}: {words} ({listed})", hint=hint)
