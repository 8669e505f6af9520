# SPDX-License-Identifier: Apache-2.0
"""Credentials: where they may stand, and that they stay there."""

import ssl

import pytest

from anyvisor.access import credentials
from anyvisor.access.credentials import Login, read
from anyvisor.access.trust import Trust, trust
from anyvisor.drivers.vsphere.endpoint import best_version, endpoint
from anyvisor.errors import TerminalError


@pytest.mark.parametrize(
    ("text", "login"),
    [
        ("admin:secret", Login("admin", "secret")),
        ("admin:secret\n", Login("admin", "secret")),
        ("admin:a:b c", Login("admin", "a:b c")),
        ("admin@vsphere.local\nse:cret\n", Login("admin@vsphere.local", "se:cret")),
        ("admin\r\nsecret\r\n", Login("admin", "secret")),
    ],
)
def test_both_ways_to_write_them_are_read(text, login):
    assert read("env:X", {"X": text}) == login


@pytest.mark.parametrize("text", ["", "admin", "admin:", ":secret", "a\nb\nc", "admin\n\n"])
def test_what_is_neither_is_refused_without_being_repeated(text):
    with pytest.raises(TerminalError, match="does not hold user:password") as refused:
        read("env:X", {"X": f"{text}"})

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_file_that_others_can_read_is_refused(tmp_path, mode):
    path = tmp_path / "vc1"
    path.write_text("admin:secret", encoding="utf-8")
    path.chmod(mode)

    with pytest.raises(TerminalError, match="can be read by others") as refused:
        read(f"file:{path}")
    assert refused.value.hint == f"chmod 600 {path}"

    path.chmod(0o400)
    assert read(f"file:{path}") == Login("admin", "secret")


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(TerminalError, match="no environment variable VC1"):
        read("env:VC1", {})
    with pytest.raises(TerminalError, match="cannot be read"):
        read(f"file:{tmp_path / 'none'}")
    for reference in (None, "", "admin:secret"):
        with pytest.raises(TerminalError, match="no credentials") as refused:
            read(reference)
        assert "secret" not in str(refused.value)


def test_a_password_is_not_shown():
    assert "secret" not in repr(Login("admin", "secret"))
    assert credentials.parse("admin:secret", "x").password == "secret"


def test_certificates_are_checked_unless_one_is_named():
    system = trust(None)
    assert (system.context.verify_mode, system.context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert system.thumbprint is None

    named = trust("sha256:" + ":".join(["AB"] * 32))
    assert named.thumbprint == "ab" * 32


@pytest.mark.parametrize("ca", ["sha256:", "sha256:12", "sha256:" + "g" * 64, "/nowhere/ca.pem"])
def test_a_trust_that_is_none_is_refused(ca):
    with pytest.raises(TerminalError):
        trust(ca)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://vc.example/sdk", ("vc.example", 443, "/sdk")),
        ("vc.example", ("vc.example", 443, "/sdk")),
        ("https://[2001:db8::1]:8443/", ("2001:db8::1", 8443, "/sdk")),
        ("https://10.0.0.1:8989/sdk", ("10.0.0.1", 8989, "/sdk")),
    ],
)
def test_addresses_are_read(url, expected):
    found = endpoint(url, Trust(ssl.create_default_context()), 5)

    assert (found.host, found.port, found.path) == expected


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("8.0.3.0", "vim.version.v8_0_3_0"),
        ("7.0", "vim.version.v7_0"),
        ("7.0.0.0", "vim.version.v7_0"),
        ("6.7", "vim.version.version12"),
        ("6.7.3", "vim.version.version15"),
        ("6.5", "vim.version.version11"),
        ("6.0", "vim.version.version10"),
        ("99.0", "vim.version.v9_1_1_0"),
        ("odd", "vim.version.version10"),
    ],
)
def test_the_newest_version_that_both_know_is_spoken(theirs, ours):
    assert best_version(theirs) == ours
