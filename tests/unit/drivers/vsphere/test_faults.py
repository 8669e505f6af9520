# SPDX-License-Identifier: Apache-2.0
"""Every fault becomes an error of ours that says who, what and why."""

import ssl
from http.client import HTTPException, RemoteDisconnected

import pytest
from pyVmomi import vim, vmodl

from anyvisor.drivers.vsphere.faults import translated
from anyvisor.errors import (
    ConflictError,
    ForeignObjectError,
    RetryableError,
    TerminalError,
    UnreachableError,
)

CASES = [
    (vim.fault.InvalidLogin(), TerminalError, "does not accept the user name or the password"),
    (vim.fault.NotAuthenticated(), UnreachableError, "the session ended"),
    (
        vim.fault.NoPermission(privilegeId="DVSwitch.Create"),
        TerminalError,
        "the right DVSwitch.Create is missing",
    ),
    (vim.fault.RestrictedVersion(), TerminalError, "the licence does not allow it"),
    (vim.fault.ConcurrentAccess(), ConflictError, "somebody else changed it meanwhile"),
    (vim.fault.TaskInProgress(), RetryableError, "another task has it"),
    (vim.fault.ResourceInUse(name="av-x"), RetryableError, "av-x is in use"),
    (vim.fault.ResourceInUse(), RetryableError, "it is in use"),
    (vim.fault.InvalidState(), RetryableError, "not in a state for that"),
    (vim.fault.InvalidPowerState(existingState="poweredOn"), RetryableError, "the VM is poweredOn"),
    (vmodl.fault.HostCommunication(), RetryableError, "the host does not answer"),
    (vmodl.fault.HostNotReachable(), RetryableError, "the host does not answer"),
    (vmodl.fault.HostNotConnected(), RetryableError, "the host is not connected"),
    (vmodl.fault.RequestCanceled(), RetryableError, "it was cancelled"),
    (vmodl.fault.SystemError(reason="out of order"), RetryableError, "it failed inside: out of order"),
    (vim.fault.DuplicateName(name="av-x"), ForeignObjectError, "there is already something called av-x"),
    (vim.fault.AlreadyExists(name="av-x"), ForeignObjectError, "there is already something called av-x"),
    (vim.fault.InvalidDeviceBacking(), RetryableError, "does not reach"),
    (vmodl.fault.NotSupported(), TerminalError, "it cannot do that"),
    (vmodl.fault.InvalidArgument(invalidProperty="spec.x"), TerminalError, "does not accept spec.x"),
    (vim.fault.DvsFault(), RetryableError, "the distributed switch refuses"),
    (vim.fault.VimFault(msg="what nobody knows"), RetryableError, "it was refused.*what nobody knows"),
    (vmodl.fault.ManagedObjectNotFound(), RetryableError, "it is gone"),
    (vim.fault.InsufficientResourcesFault(), RetryableError, "not enough resources"),
    (TimeoutError("timed out"), UnreachableError, "no answer in time"),
    (ConnectionRefusedError(111, "Connection refused"), UnreachableError, "no connection: .*refused"),
    (RemoteDisconnected("gone"), UnreachableError, "no connection: gone"),
    (HTTPException("503 Service Unavailable"), UnreachableError, "503"),
    (ssl.SSLError(1, "wrong version number"), UnreachableError, "wrong version"),
]


@pytest.mark.parametrize(
    ("fault", "kind", "words"), CASES, ids=lambda case: type(case).__name__.split(".")[-1]
)
def test_a_fault_says_who_what_and_why(fault, kind, words):
    error = translated("vc1", "making the group x", fault)

    assert type(error) is kind
    assert str(error).startswith("vc1: making the group x: ")
    with pytest.raises(kind, match=words):
        raise error


def test_a_certificate_that_is_not_trusted_says_what_to_do():
    fault = ssl.SSLCertVerificationError(1, "certificate verify failed")
    fault.verify_message = "self-signed certificate"

    error = translated("vc1", "", fault)

    assert type(error) is TerminalError
    assert str(error) == "vc1: its certificate is not trusted: self-signed certificate"
    assert "sha256:" in error.hint
