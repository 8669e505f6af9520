# SPDX-License-Identifier: Apache-2.0
"""The files for TLS: in the settings of every program, and what is said of files that cannot be used."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from anyvisor import settings
from anyvisor.agent import settings as agent_settings
from anyvisor.errors import InputError, TerminalError
from anyvisor.model.tls import KEYS
from anyvisor.ovsdb.tls import check
from anyvisor.testing.certificates import Authority

BASE = {"ANYVISOR_DATABASE": "ssl:192.0.2.1:6640"}
LOADS = pytest.mark.parametrize("load", [settings.load, agent_settings.load], ids=["commands", "agent"])


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("pki") / "ours")


@pytest.fixture
def files(authority, tmp_path):
    return authority.issue(tmp_path.name)


@LOADS
def test_the_files_come_from_the_file_the_environment_and_the_flags(load, tmp_path):
    file = tmp_path / "anyvisor.toml"
    file.write_text(
        'database = "ssl:192.0.2.1:6640"\nprivate_key = "/file-key"\ncertificate = "/file-cert"\n'
        'ca_certificate = "/file-ca"\n'
    )

    loaded = load(file, {"ca_certificate": "/flag-ca"}, {"ANYVISOR_CERTIFICATE": "/env-cert"}).tls

    assert (loaded.private_key, loaded.certificate, loaded.ca_certificate) == (
        "/file-key",
        "/env-cert",
        "/flag-ca",
    )


@LOADS
def test_paths_are_absolute_for_the_daemons_that_read_them_elsewhere(load, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {f"ANYVISOR_{key.upper()}": f"{key}.pem" for key in KEYS}

    assert load(None, {}, BASE | given).tls.private_key == str(tmp_path / "private_key.pem")


@LOADS
def test_none_of_the_files_is_no_tls(load):
    assert load(None, {}, BASE).tls is None


@LOADS
@pytest.mark.parametrize("missing", KEYS)
def test_some_of_the_files_are_a_mistake_that_names_the_missing_one(load, missing):
    given = {f"ANYVISOR_{key.upper()}": "/x" for key in KEYS if key != missing}

    with pytest.raises(InputError) as refused:
        load(None, {}, BASE | given)

    assert [fault.place for fault in refused.value.faults] == [missing]


def test_good_files_are_accepted(files):
    check(files)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_may_use_is_refused_with_the_cure(files, mode):
    Path(files.private_key).chmod(mode)

    with pytest.raises(TerminalError, match=f"{mode:04o}") as refused:
        check(files)

    assert refused.value.hint == f"chmod 600 {files.private_key}"


@pytest.mark.parametrize("kind", KEYS)
def test_a_missing_file_is_named(files, kind):
    gone = replace(files, **{kind: "/nowhere/at-all.pem"})

    with pytest.raises(TerminalError, match=r"/nowhere/at-all\.pem cannot be read: No such file"):
        check(gone)


def test_a_certificate_of_another_key_is_refused(authority, files):
    other = authority.issue("other")

    with pytest.raises(TerminalError, match="cannot be used together"):
        check(replace(files, certificate=other.certificate))


def test_a_file_that_is_no_certificate_is_refused(files, tmp_path):
    (tmp_path / "ca.pem").write_text("no certificate\n")

    with pytest.raises(TerminalError, match=r"ca\.pem holds no certificate"):
        check(replace(files, ca_certificate=str(tmp_path / "ca.pem")))


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked_for_it(files):
    command = ["openssl", "pkey", "-in", files.private_key, "-aes256", "-passout", "pass:secret"]
    locked = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    Path(files.private_key).write_bytes(locked)

    with pytest.raises(TerminalError) as refused:
        check(files)

    assert "no passphrase" in refused.value.hint
