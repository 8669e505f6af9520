# SPDX-License-Identifier: Apache-2.0
"""What went wrong in a call, in our own words: faults of vSphere, of the connection, of TLS."""

from __future__ import annotations

import socket
import ssl
from http.client import HTTPException
from xml.parsers.expat import ExpatError

from anyvisor.drivers.vsphere.api import vim, vmodl
from anyvisor.errors import (
    AnyvisorError,
    ConflictError,
    ForeignObjectError,
    RetryableError,
    TerminalError,
    UnreachableError,
)

CONNECTION_ERRORS = (OSError, HTTPException, ExpatError)
CALL_ERRORS = (vmodl.MethodFault, *CONNECTION_ERRORS)
"""Everything that a call can raise because of the other side."""

_TABLE: tuple[tuple[type[Exception], type[AnyvisorError], str], ...] = (
    (vim.fault.NotAuthenticated, UnreachableError, "the session ended"),
    (vim.fault.InvalidLogin, TerminalError, "it does not accept the user name or the password"),
    (vim.fault.NoPermission, TerminalError, "the right {privilegeId} is missing"),
    (vim.fault.RestrictedVersion, TerminalError, "the licence does not allow it"),
    (vmodl.fault.NotEnoughLicenses, TerminalError, "there are not enough licences"),
    (vim.fault.ConcurrentAccess, ConflictError, "somebody else changed it meanwhile"),
    (vim.fault.DuplicateName, ForeignObjectError, "there is already something called {name}"),
    (vim.fault.AlreadyExists, ForeignObjectError, "there is already something called {name}"),
    (vim.fault.TaskInProgress, RetryableError, "another task has it"),
    (vim.fault.ResourceInUse, RetryableError, "{name} is in use"),
    (vim.fault.VMOnVirtualIntranet, TerminalError, "the VM is on a switch without uplinks"),
    (vim.fault.InvalidDeviceBacking, RetryableError, "the port group does not reach the VM's host"),
    (vim.fault.InvalidPowerState, RetryableError, "the VM is {existingState}"),
    (vim.fault.InvalidState, RetryableError, "it is not in a state for that"),
    (vim.fault.InsufficientResourcesFault, RetryableError, "there are not enough resources"),
    (vim.fault.Timedout, RetryableError, "it took too long"),
    (vmodl.fault.HostNotConnected, RetryableError, "the host is not connected"),
    (vmodl.fault.HostCommunication, RetryableError, "the host does not answer"),
    (vmodl.fault.RequestCanceled, RetryableError, "it was cancelled"),
    (vmodl.fault.ManagedObjectNotFound, RetryableError, "it is gone"),
    (vim.fault.NotFound, RetryableError, "it is gone"),
    (vmodl.fault.SystemError, RetryableError, "it failed inside: {reason}"),
    (vmodl.fault.NotSupported, TerminalError, "it cannot do that"),
    (vmodl.fault.InvalidRequest, TerminalError, "it does not know that call"),
    (vmodl.fault.InvalidArgument, TerminalError, "it does not accept {invalidProperty}"),
    (vim.fault.DvsFault, RetryableError, "the distributed switch refuses"),
)


def translated(where: str, doing: str, error: Exception) -> AnyvisorError:
    """The error to raise ``from`` the original."""
    begin = f"{where}: {doing}" if doing else where
    if isinstance(error, vmodl.MethodFault):
        return _of_fault(begin, error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return TerminalError(
            f"{where}: its certificate is not trusted: {error.verify_message}",
            hint="name the certificate authority's file, or sha256: and the certificate's thumbprint, in `ca`",
        )
    if isinstance(error, socket.timeout):
        return UnreachableError(f"{begin}: no answer in time")
    said = str(error) or type(error).__name__
    return UnreachableError(f"{begin}: no connection: {said}")


def _of_fault(begin: str, fault: Exception) -> AnyvisorError:
    name = type(fault).__name__.rsplit(".", 1)[-1]
    for kind, error, words in _TABLE:
        if isinstance(fault, kind):
            return error(f"{begin}: {words.format_map(_Fields(fault))} ({name}{_details(fault)})")
    # What is not known may pass; it is reported either way.
    return RetryableError(f"{begin}: it was refused ({name}{_details(fault)})")


def _details(fault: Exception) -> str:
    said = str(getattr(fault, "msg", "") or "")
    return f": {said}" if said else ""


class _Fields(dict[str, str]):
    def __init__(self, fault: Exception) -> None:
        super().__init__()
        self._fault = fault

    def __missing__(self, key: str) -> str:
        return str(getattr(self._fault, key, "") or "it")
