# SPDX-License-Identifier: Apache-2.0
"""kill -9 in the middle of `apply`: what ran keeps running, and a second `apply` converges."""

import os
import signal
import subprocess
import sys
import time

import pytest
import yaml

from anyvisor.lab import daemon, down, host, manifest, namespace, process, report, session, topology_file, up
from anyvisor.lab.manifest import Recorder
from anyvisor.lab.place import CENTRAL
from anyvisor.lab.progress import silent

pytestmark = [pytest.mark.lab, pytest.mark.kills, pytest.mark.slow, pytest.mark.timeout(240)]

SERVE = "anyvisord"
MANY = 60
"""Ports added by the `apply` that is disturbed: enough that it takes a while."""


def wrong(found):
    return [report.in_words(failure) for failure in found.failures]


@pytest.fixture
def product(place, product_of, options):
    """A lab under `separation` with a daemon at work."""
    up.up(place, topology_file.load(), options(), silent)
    found = product_of(place)
    start_daemon(place)
    found.apply("separation")
    yield found
    down.down(place)


def start_daemon(place):
    serve = [sys.executable, "-m", "anyvisor", "--database", place.database, "serve"]
    daemon.start_detached(place, CENTRAL, SERVE, serve, recorder=Recorder(place.manifest))


def kill(place, part, what):
    for one in manifest.read(place.manifest).processes:
        if (one.part, one.what) == (part, what) and process.alive(one.pid, one.start):
            os.kill(one.pid, signal.SIGKILL)
            return
    raise AssertionError(f"{what} of {part} does not run")


def revive(place, part, what):
    match what:
        case host.AGENT:
            session.restart_agent(place, part)
        case "ovn-controller":
            run_script(place, part, "start-ovn-controller")
        case "ovn-northd":
            run_script(place, part, "start-central")
        case _:
            start_daemon(place)


def run_script(place, part, name):
    subprocess.run(
        namespace.command(place.namespace(part), [str(place.part(part) / name)]),
        check=True,
        capture_output=True,
    )


def site_with_more(place, variant):
    """The same site with many ports more, on every host; nobody runs a VM for them."""
    document = yaml.safe_load(place.site(variant).read_text())
    document["ports"] += [
        {
            "name": f"more{number}",
            "network": "web",
            "host": f"kvm{1 + number % 3}",
            "security_groups": ["web"],
        }
        for number in range(MANY)
    ]
    path = place.folder / "site-more.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path


@pytest.mark.parametrize(
    ("part", "what"),
    [("kvm1", host.AGENT), ("kvm1", "ovn-controller"), (CENTRAL, "ovn-northd"), (CENTRAL, SERVE)],
)
def test_what_ran_keeps_running_and_a_second_apply_converges(product, part, what):
    place = product.place
    site = site_with_more(place, "separation")
    argv = [sys.executable, "-m", "anyvisor", "apply", "-f", str(site), "--wait", "20"]
    flows = [
        session.flow(place, "web1", "web3"),
        session.flow(place, "db1", "db3"),
        session.flow(place, "web4", "web1"),
    ]

    with session.measuring(place, *flows) as measured:
        applying = subprocess.Popen(
            argv, env={**os.environ, "ANYVISOR_DATABASE": place.database}, stdout=subprocess.DEVNULL
        )
        time.sleep(0.5)
        kill(place, part, what)
        applying.wait(60)
        revive(place, part, what)
        product.run("apply", "-f", str(site), "--wait", "60")

    # A restarted ovn-controller writes its flows anew, which blinks. The killed part was gone for far longer than
    # the bound, so what hung on it would show.
    assert all(found.longest_gap_ms < 2000 for found in measured.outages), measured.outages
    assert product.run("plan", "-f", str(site), "--check") is not None
    assert wrong(session.check(place, silent)) == []


@pytest.mark.parametrize("delay", [0.0, 0.15, 0.3, 0.45, 0.7])
def test_an_agent_killed_while_it_converts_its_host_is_followed_by_one_that_ends_well(product, delay):
    place = product.place
    argv = [sys.executable, "-m", "anyvisor", "apply", "-f", str(place.site()), "--wait", "5"]
    journal = place.part("kvm3") / "agent" / "conversion.json"

    with subprocess.Popen(
        argv, env={**os.environ, "ANYVISOR_DATABASE": place.database}, stdout=subprocess.DEVNULL
    ) as applying:
        give_up = time.monotonic() + 20
        while not journal.exists() and time.monotonic() < give_up:
            time.sleep(0.01)
        time.sleep(delay)
        kill(place, "kvm3", host.AGENT)
        applying.wait(60)
    revive(place, "kvm3", host.AGENT)
    product.apply()

    assert product.host("kvm3")["scheme"] == "substitution"
    assert product.view()["escapes"] == []
    assert wrong(session.check(place, silent)) == []


def test_a_conversion_that_fails_half_way_is_rolled_back_and_everything_works_as_before(product):
    place = product.place
    script = place.part("kvm3") / "start-ovn-controller"
    good = script.read_text()
    script.write_text("#!/bin/sh\nexit 1\n")

    refused = product.run("apply", "-f", str(place.site()), "--wait", "30", status=1)
    addresses = subprocess.run(
        ["ip", "-n", place.namespace("kvm3"), "-brief", "address", "show", "br0"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert "RolledBack" in refused
    assert "192.168.77.13/24" in addresses
    assert product.host("kvm3")["scheme"] == "separation"
    assert wrong(session.check(place, silent)) == []

    script.write_text(good)
    product.apply("separation")
    product.apply()
    assert product.host("kvm3")["scheme"] == "substitution"
    assert wrong(session.check(place, silent)) == []
