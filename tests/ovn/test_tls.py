# SPDX-License-Identifier: Apache-2.0
"""OVSDB over TLS, against real servers that listen on ``pssl:`` and real daemons that connect to them."""

import os
import socket
import ssl
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from anyvisor.drivers.openvswitch.switch import OpenvSwitch
from anyvisor.drivers.ovn.controller import OvnController
from anyvisor.errors import TerminalError, UnreachableError
from anyvisor.model.names import HostName
from anyvisor.model.tls import TlsFiles
from anyvisor.ovsdb.beats import BeatStore
from anyvisor.ovsdb.handshake import fetch_schema
from anyvisor.ovsdb.server import ensure_server, stop, tls_arguments
from anyvisor.ovsdb.store import OvsdbStore
from anyvisor.ovsdb.telemetry import TelemetryStore
from anyvisor.ovsdb.tls import use_tls
from anyvisor.planner.chassis import Chassis as Wanted
from anyvisor.planner.chassis import chassis_plan
from anyvisor.testing.certificates import Authority
from anyvisor.testing.daemons import database_server, wait_until
from anyvisor.testing.sandbox import AnyvisorDatabase, Chassis, OvnSandbox

pytestmark = pytest.mark.ovn

OWNER = "0f0f"
SOON = 3.0
"""Seconds; far less than the time-out that is given."""
LONG = 30.0


@pytest.fixture(autouse=True)
def _process_without_tls():
    use_tls(None)
    yield
    use_tls(None)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("pki") / "ours")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("pki") / "theirs")


@pytest.fixture(scope="module")
def server(authority):
    """Both databases behind TLS; gives the remote."""
    port = free_port()
    with_tls = AnyvisorDatabase()
    files = [with_tls.directory / "anyvisor.db", with_tls.directory / "telemetry.db"]
    options = tls_arguments(authority.issue("server"))
    with_tls.server = database_server(
        with_tls.directory, "db", files, f"pssl:{port}:127.0.0.1", options=options
    )
    with with_tls:
        yield f"ssl:127.0.0.1:{port}"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_the_store_and_the_counters_are_read_and_written_over_tls(server, authority):
    use_tls(authority.issue("daemon"))
    store = OvsdbStore(server, lock="anyvisor")
    store.start()
    try:
        assert store.wait_for_lock(LONG)
        assert store.snapshot().owner
    finally:
        store.close()
    with TelemetryStore(server) as telemetry:
        assert not telemetry.read().vnics


def test_a_large_database_comes_over_tls_whole(authority):
    """More than one TLS record holds."""
    port = free_port()
    database = AnyvisorDatabase()
    files = [database.directory / "anyvisor.db", database.directory / "telemetry.db"]
    tls = authority.issue("large")
    database.server = database_server(
        database.directory, "db", files, f"pssl:{port}:127.0.0.1", options=tls_arguments(tls)
    )
    with database:
        rows = [
            {
                "op": "insert",
                "table": "Beat",
                "row": {"host": f"host-{number:05}-{'x' * 200}", "number": 1, "count": 1},
            }
            for number in range(3000)
        ]
        for some in range(0, len(rows), 200):
            database.transact(*rows[some : some + 200], database="Anyvisor_Telemetry")
        use_tls(tls)
        with BeatStore(f"ssl:127.0.0.1:{port}", timeout_seconds=LONG) as beats:
            assert len(beats.read()) == 3000


def test_ovn_is_reached_over_tls(authority):
    ports = {"nb": free_port(), "sb": free_port()}
    with tls_sandbox(authority, ports) as ovn:
        use_tls(authority.issue("daemon"))
        remotes = (f"ssl:127.0.0.1:{ports['nb']}", f"ssl:127.0.0.1:{ports['sb']}")
        controller = OvnController(*remotes, OWNER)
        controller.start()
        try:
            ovn.sbctl("chassis-add", "kvm1", "geneve", "192.0.2.1")
            wait_until(lambda: "kvm1" in controller.chassis(), "the chassis is seen")
        finally:
            controller.close()


def test_the_agent_gives_ovn_controller_the_files_for_its_southbound_remote(authority, tmp_path):
    ports = {"nb": free_port(), "sb": free_port()}
    with tls_sandbox(authority, ports) as ovn:
        remote = f"ssl:127.0.0.1:{ports['sb']}"
        host = Chassis("kvm1", tmp_path / "kvm1", remote, "127.0.0.1")
        try:
            host.start(controller=False)
            host.vsctl("clear", "Open_vSwitch", ".", "external_ids")
            driver = OpenvSwitch.connect(host.remote, owner=lambda: OWNER)
            try:
                wanted = wants(remote, authority.issue("kvm1"))
                driver.configure(chassis_plan(wanted, driver.observe_chassis()).steps)
                assert chassis_plan(wanted, driver.observe_chassis()).steps == ()
                host.controller.start()
                wait_until(
                    lambda: "kvm1" in ovn.sbctl("--bare", "--columns=name", "list", "Chassis"),
                    "ovn-controller has registered",
                )

                renewed = wants(remote, authority.issue("kvm1-renewed"))
                driver.configure(chassis_plan(renewed, driver.observe_chassis()).steps)
                assert "kvm1-renewed-key.pem" in host.vsctl("get-ssl")
                assert len(host.vsctl("--bare", "--columns=_uuid", "list", "SSL").split()) == 1
            finally:
                driver.close()
        finally:
            host.close()


def test_files_that_somebody_else_gave_open_vswitch_stay_and_are_named(authority, stranger, tmp_path):
    host = Chassis("kvm1", tmp_path / "kvm1", "ssl:192.0.2.1:6642", "127.0.0.1")
    try:
        host.start(controller=False)
        host.vsctl("clear", "Open_vSwitch", ".", "external_ids")
        theirs = stranger.issue("operator")
        host.vsctl("set-ssl", theirs.private_key, theirs.certificate, theirs.ca_certificate)
        driver = OpenvSwitch.connect(host.remote, owner=lambda: OWNER)
        try:
            plan = chassis_plan(
                wants("ssl:192.0.2.1:6642", authority.issue("kvm1")), driver.observe_chassis()
            )
            driver.configure(plan.steps)

            assert [problem for problem in plan.problems if theirs.private_key in problem]
            assert theirs.private_key in host.vsctl("get-ssl")
        finally:
            driver.close()
    finally:
        host.close()


def test_a_server_of_another_authority_is_refused_with_the_reason_and_at_once(server, authority, stranger):
    ours = authority.issue("daemon")
    use_tls(replace(ours, ca_certificate=str(stranger.certificate)))
    begun = time.monotonic()

    with pytest.raises(TerminalError, match=r"its certificate is not trusted: .*certificate") as refused:
        fetch_schema(server, "Anyvisor", LONG)

    assert time.monotonic() - begun < SOON
    assert server in str(refused.value)
    assert "ca_certificate" in refused.value.hint


def test_the_server_refuses_our_certificate_and_we_say_so(server, authority, stranger):
    theirs = stranger.issue("daemon")
    use_tls(replace(theirs, ca_certificate=str(authority.certificate)))
    begun = time.monotonic()

    with pytest.raises(TerminalError, match="it refuses our certificate: unknown ca"):
        fetch_schema(server, "Anyvisor", LONG)

    assert time.monotonic() - begun < SOON


@pytest.mark.parametrize(("shown", "answer"), [(True, b"{"), (False, b"")], ids=["with", "without"])
def test_the_server_answers_nobody_without_a_certificate(server, authority, shown, answer):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(authority.certificate)
    if shown:
        files = authority.issue("somebody")
        context.load_cert_chain(files.certificate, files.private_key)
    heard = b""

    with (
        suppress(OSError),
        socket.create_connection(("127.0.0.1", int(server.rpartition(":")[2])), LONG) as plain,
        context.wrap_socket(plain) as client,
    ):
        client.sendall(b'{"method":"get_schema","params":["Anyvisor"],"id":0}')
        heard = client.recv(1)

    assert heard == answer


def test_a_remote_with_tls_and_no_key_says_what_is_missing(server):
    with pytest.raises(TerminalError, match="no private key is set") as refused:
        fetch_schema(server, "Anyvisor", LONG)

    assert "private_key, certificate and ca_certificate" in refused.value.hint


def test_one_member_of_a_cluster_that_is_refused_does_not_keep_us_from_the_others(server, authority):
    use_tls(authority.issue("daemon"))
    imposter = free_port()

    assert fetch_schema(f"ssl:127.0.0.1:{imposter},{server}", "Anyvisor", LONG)["name"] == "Anyvisor"


def test_a_port_that_speaks_no_tls_is_named_as_such(authority, tmp_path):
    port = free_port()
    ensure_server(tmp_path, listen=(f"ptcp:{port}:127.0.0.1",))
    try:
        use_tls(authority.issue("daemon"))
        with pytest.raises(UnreachableError, match="TLS"):
            fetch_schema(f"ssl:127.0.0.1:{port}", "Anyvisor", SOON)
    finally:
        stop(tmp_path)


def test_a_connection_comes_back_with_a_renewed_certificate(authority, stranger, tmp_path):
    """And lives through a time in which the files cannot be used."""
    port = free_port()
    database = AnyvisorDatabase()
    files = [database.directory / "anyvisor.db", database.directory / "telemetry.db"]
    database.server = database_server(
        database.directory,
        "db",
        files,
        f"pssl:{port}:127.0.0.1",
        options=tls_arguments(authority.issue("renewing")),
    )
    with database:
        mine = copied(authority.issue("client"), tmp_path)
        use_tls(mine)
        store = OvsdbStore(f"ssl:127.0.0.1:{port}")
        store.start()
        try:
            good = Path(mine.certificate).read_bytes()
            Path(mine.certificate).write_bytes(Path(stranger.issue("other").certificate).read_bytes())
            database.server.restart()
            wait_until(lambda: not store.connected, "the connection is lost")
            Path(mine.certificate).write_bytes(good)
            wait_until(lambda: store.connected, "the connection is back")
        finally:
            store.close()


def test_our_own_server_listens_with_tls_and_takes_it_on_when_it_runs_already(authority, tmp_path):
    port = free_port()
    ensure_server(tmp_path)
    try:
        with pytest.raises(TerminalError, match="pssl:"):
            ensure_server(tmp_path, listen=(f"pssl:{port}:127.0.0.1",))
        files = authority.issue("own")
        for _ in range(2):
            ensure_server(tmp_path, listen=(f"pssl:{port}:127.0.0.1",), tls=files)
        use_tls(authority.issue("client"))

        assert fetch_schema(f"ssl:127.0.0.1:{port}", "Anyvisor_Telemetry", LONG)["name"]
    finally:
        stop(tmp_path)


def test_the_command_line_reads_over_tls_and_names_a_key_that_others_can_read(server, authority, tmp_path):
    files = copied(authority.issue("operator"), tmp_path)
    given = {
        "ANYVISOR_DATABASE": server,
        "ANYVISOR_PRIVATE_KEY": files.private_key,
        "ANYVISOR_CERTIFICATE": files.certificate,
        "ANYVISOR_CA_CERTIFICATE": files.ca_certificate,
    }
    assert run_cli("view", "--json", env=given).returncode == 0

    Path(files.private_key).chmod(0o644)
    refused = run_cli("view", env=given)

    assert refused.returncode == 1
    assert f"chmod 600 {files.private_key}" in refused.stderr
    assert "Traceback" not in refused.stderr


def run_cli(*arguments, env):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ANYVISOR_")}
    return subprocess.run(
        [sys.executable, "-m", "anyvisor", *arguments],
        env={**clean, **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def copied(files, directory):
    kept = {
        "private_key": files.private_key,
        "certificate": files.certificate,
        "ca_certificate": files.ca_certificate,
    }
    for kind, path in kept.items():
        target = directory / f"{kind}.pem"
        target.write_bytes(Path(path).read_bytes())
        target.chmod(0o600)
        kept[kind] = str(target)
    return TlsFiles(**kept)


def wants(remote, files):
    return Wanted(
        host=HostName("kvm1"),
        owner=OWNER,
        remote=remote,
        tunnel_ip="127.0.0.1",
        datapath="dummy",
        tls=files,
    )


def tls_sandbox(authority, ports):
    """OVN whose databases listen with TLS too."""
    sandbox = OvnSandbox()
    for name, port in ports.items():
        server = database_server(
            sandbox.directory,
            name,
            [sandbox.directory / f"{name}.db"],
            f"pssl:{port}:127.0.0.1",
            options=tls_arguments(authority.issue(name)),
        )
        setattr(sandbox, f"{name}_server", server)
    return sandbox
