# SPDX-License-Identifier: Apache-2.0
"""What prepares each start of an appliance's agent: run as it is, in a folder instead of the machine's root."""

import os
import shutil
import stat
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest

from anyvisor.model.tls import TlsFiles
from anyvisor.ovsdb.tls import check
from anyvisor.testing.certificates import Authority

SCRIPT = files("anyvisor.codec") / "first_boot" / "anyvisor-setup"


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("pki") / "ours")


class Machine:
    """An appliance's disk, with the agent installed already."""

    def __init__(self, root, *, tls="yes"):
        self.root = root
        self.tls = root / "etc/anyvisor/tls"
        self.tls.mkdir(parents=True)
        (root / "opt/anyvisor").mkdir(parents=True)
        (root / "opt/anyvisor/package").write_text("anyvisor==1\n")
        (root / "etc/anyvisor/setup.conf").write_text(f"package=anyvisor==1\nname='esx2+2'\ntls={tls}\n")

    @property
    def files(self):
        return TlsFiles(
            private_key=str(self.tls / "key.pem"),
            certificate=str(self.tls / "certificate.pem"),
            ca_certificate=str(self.tls / "ca.pem"),
        )

    def trusts(self, pki):
        (self.tls / "ca.pem").write_bytes(pki.certificate.read_bytes())

    def enrols_with(self, *lines):
        hook = self.root / "etc/anyvisor/enrol"
        hook.write_text("#!/bin/sh\n" + "\n".join((f"echo >>{self.root}/asked", *lines)) + "\n")
        hook.chmod(0o755)

    def signs_by(self, pki, days=90):
        key = pki.certificate.with_name("ca-key.pem")
        self.enrols_with(
            f"exec openssl x509 -req -days {days} -CA {pki.certificate} -CAkey {key} -CAcreateserial"
        )

    @property
    def asked(self):
        path = self.root / "asked"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def start(self):
        done = subprocess.run(
            ["sh", str(SCRIPT)],
            env={**os.environ, "ANYVISOR_ROOT": str(self.root)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return done.returncode, done.stderr


@pytest.fixture
def machine(tmp_path, pki):
    machine = Machine(tmp_path)
    machine.trusts(pki)
    return machine


def test_the_hook_is_given_the_request_and_its_certificate_is_used(machine, pki):
    machine.signs_by(pki)

    assert machine.start()[0] == 0

    check(machine.files)
    said = subprocess.run(
        ["openssl", "x509", "-in", machine.files.certificate, "-noout", "-subject"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    assert "esx2+2" in said


def test_an_authority_of_ovs_pki_signs_what_it_asks_for(tmp_path):
    if shutil.which("ovs-pki") is None:
        pytest.skip("not installed: ovs-pki")
    pki = tmp_path / "pki"
    subprocess.run(["ovs-pki", f"--dir={pki}", "init"], check=True, capture_output=True, timeout=60)
    machine = Machine(tmp_path / "disk")
    (machine.tls / "ca.pem").write_bytes((pki / "switchca/cacert.pem").read_bytes())
    machine.enrols_with(
        f"mkdir -p {tmp_path}/desk && cd {tmp_path}/desk && cat >appliance-req.pem",
        f"ovs-pki --dir={pki} --batch --unique sign appliance switch >&2",
        "cat appliance-cert.pem",
    )

    code, said = machine.start()

    assert code == 0, said
    check(machine.files)


def test_a_second_start_changes_nothing_and_asks_nobody(machine, pki):
    machine.signs_by(pki)
    machine.start()
    before = Path(machine.files.private_key).read_bytes(), Path(machine.files.certificate).read_bytes()

    assert machine.start()[0] == 0

    assert before == (
        Path(machine.files.private_key).read_bytes(),
        Path(machine.files.certificate).read_bytes(),
    )
    assert machine.asked == 1


def test_the_key_is_its_owners_alone_and_is_not_given_to_the_hook(machine, pki):
    machine.enrols_with(f"cat >{machine.root}/given", "exit 1")

    machine.start()

    assert stat.S_IMODE(Path(machine.files.private_key).stat().st_mode) == 0o600
    given = (machine.root / "given").read_text()
    assert "CERTIFICATE REQUEST" in given
    assert "PRIVATE" not in given


def test_without_a_hook_it_waits_for_a_person_and_says_for_what(machine, pki):
    code, said = machine.start()
    assert code != 0
    assert f"sign {machine.tls}/request.pem" in said
    key = Path(machine.files.private_key).read_bytes()

    Path(machine.files.certificate).write_bytes(pki.sign((machine.tls / "request.pem").read_bytes()))

    assert machine.start()[0] == 0
    assert Path(machine.files.private_key).read_bytes() == key
    check(machine.files)


@pytest.mark.parametrize("line", ["echo nonsense", "true", "exit 3", "cat"])
def test_what_is_no_certificate_is_refused_and_asked_for_again(machine, pki, line):
    machine.enrols_with(line)
    code, said = machine.start()
    assert code != 0
    assert "etc/anyvisor/enrol" in said
    assert not Path(machine.files.certificate).exists()

    machine.signs_by(pki)

    assert machine.start()[0] == 0
    check(machine.files)


def test_a_certificate_of_another_authority_is_refused(machine, tmp_path_factory):
    machine.signs_by(Authority(tmp_path_factory.mktemp("pki") / "theirs"))

    code, said = machine.start()

    assert code != 0
    assert "no certificate of our authority" in said
    assert not Path(machine.files.certificate).exists()


def test_one_that_ends_soon_is_renewed_and_used_meanwhile(machine, pki):
    machine.signs_by(pki, days=5)
    assert machine.start()[0] == 0
    machine.enrols_with("exit 1")

    assert machine.start()[0] == 0, "the old one still works"
    first = Path(machine.files.certificate).read_bytes()
    machine.signs_by(pki)
    assert machine.start()[0] == 0

    assert Path(machine.files.certificate).read_bytes() != first


def test_without_an_authority_it_says_so(tmp_path):
    code, said = Machine(tmp_path).start()

    assert code != 0
    assert "ca.pem" in said


def test_without_tls_no_key_is_made(tmp_path):
    machine = Machine(tmp_path, tls="no")

    assert machine.start()[0] == 0

    assert list(machine.tls.iterdir()) == []
