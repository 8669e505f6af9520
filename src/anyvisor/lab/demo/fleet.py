# SPDX-License-Identifier: Apache-2.0
"""The fleet: KVM hosts, one of them with a DPU, beside ESXi hosts under a vCenter, and what becomes of them."""

from __future__ import annotations

import time
from typing import Any

import click

from anyvisor.lab import outage, session, topology_file, up
from anyvisor.lab.demo.story import Story
from anyvisor.lab.esxi import centre
from anyvisor.lab.progress import on_standard_error
from anyvisor.model.names import PortName

HOST = "kvm3"
"""The host that comes with a Linux bridge."""
NEIGHBOURS = ("web4", "web5")
"""Two VMs of that host on one network."""
MOVER, TARGET = "web7", "esx3"
"""A VM behind an appliance, and the other host with one."""
MOVE_SECONDS = 20.0
TRAFFIC_SECONDS = 3.0
OUTAGE_MS_AT_MOST = 10_000
"""A conversion that cuts a VM off for longer has failed, even if it ends well."""
VIEW_SECONDS = 20.0


def tell(story: Story, *, with_xen: bool) -> None:
    """Everything from `up` to the last view; the caller deletes the lab. `with_xen`: a Xen host is to join later."""
    place = story.place
    with story.chapter("Ten hosts of three hypervisors, 28 VMs, one SDN controller: the lab"):
        topology = topology_file.load("mixed-xen" if with_xen else "mixed")
        up.up(place, topology, up.Options(emulated=with_xen), on_standard_error())
        click.echo(
            "kvm1 and kvm2 come with Open vSwitch; kvm3 comes with a Linux bridge, no OVS is running there."
        )
        click.echo(
            "kvm4, xen1 and esx5 have a DPU: a machine of its own, with a function for each VM of its host."
        )
        click.echo(
            "esx1 has a standard switch, esx2 and esx3 share a distributed one, esx4 and esx5 have one of their own; "
            "a vCenter manages them."
        )
        story.serve()
    with story.chapter("Which scheme fits which host, and why not the others"):
        story.anyvisor("schemes")
        click.echo(
            "A Xen host with a DPU is in this lab. The other schemes on Xen take a real one, "
            + ("which joins in the end." if with_xen else "under emulation: `make demo XEN=1`.")
        )
    with story.chapter(
        "Plan: kvm3 and esx1 keep their switches, esx2 and esx3 get appliances, the cards of kvm4, xen1 and esx5 switch"
    ):
        story.anyvisor("plan", "-f", str(place.site("separation")))
    with story.chapter("Apply"):
        story.anyvisor("apply", "-f", str(place.site("separation")))
    with story.chapter("Every pair of VMs, with real packets"):
        story.check()
    with story.chapter("What the controller sees, and what escapes it"):
        _traffic(story)
        story.anyvisor("view")
        _escapes_are_named(story)
    with story.chapter("kvm3 becomes an Open vSwitch host while its VMs run (substitution)"):
        _convert(story)
    with story.chapter(f"{MOVER} moves from one ESXi host to another (vMotion)"):
        _move(story)
    with story.chapter("Every pair of VMs again"):
        story.check()
    with story.chapter("The overall view: what still escapes was planned"):
        _traffic(story)
        story.anyvisor("view")
        _escapes_as_planned(story)


def _traffic(story: Story) -> None:
    """Give the view something to count, and wait until it has counted it."""
    source, target = NEIGHBOURS
    flows = [
        session.flow(story.place, source, target, port=53),
        session.flow(story.place, source, "web1", port=53),
        session.flow(story.place, "web1", "web3", port=53),
        session.flow(story.place, "db1", "db3"),
        session.flow(story.place, "web6", "web1", port=53),
        session.flow(story.place, MOVER, "web8", port=53),
        session.flow(story.place, "web11", "web12", port=53),
    ]
    before = _bytes(story)
    with outage.streaming(story.place, flows, interval_seconds=0.002):
        time.sleep(TRAFFIC_SECONDS)
    enough = 200 * TRAFFIC_SECONDS / 0.002
    give_up = time.monotonic() + VIEW_SECONDS
    while _bytes(story) < before + enough and time.monotonic() < give_up:
        time.sleep(0.5)


def _host(story: Story) -> dict[str, Any]:
    hosts = story.json("view")["hosts"]
    found: dict[str, Any] = next(host for host in hosts if host["host"] == HOST)
    return found


def _bytes(story: Story) -> float:
    return float(_host(story)["bytes"])


def _escapes_are_named(story: Story) -> None:
    pairs = {frozenset((pair["from"], pair["to"])) for pair in story.json("view")["escapes"]}
    there = frozenset(NEIGHBOURS) in pairs
    story.hold(f"the view names {' and '.join(NEIGHBOURS)}, who talk around the controller", true=there)
    escaped = _host(story)["escaped"]
    story.hold(f"the view has counted what escaped on {HOST}: {escaped:.0%} of its bytes", true=escaped > 0)


def _convert(story: Story) -> None:
    source, target = NEIGHBOURS
    with story.measuring((source, target), (source, "web1"), ("db1", "db3")) as measured:
        story.anyvisor("apply", "-f", str(story.place.site()))
    worst = max(found.longest_gap_ms for found in measured.outages)
    story.hold(
        f"while {HOST} was converted no VM was cut off for longer than {worst / 1000:.2f} s",
        true=worst <= OUTAGE_MS_AT_MOST,
    )
    story.hold("no packet arrived twice", true=not any(found.duplicates for found in measured.outages))


def _move(story: Story) -> None:
    click.echo(f"$ in vCenter: migrate {MOVER} to {TARGET}")
    with story.measuring(("web1", MOVER), ("web8", MOVER)) as measured:
        centre.control(story.place).vm(MOVER, move_to=TARGET)
        give_up = time.monotonic() + MOVE_SECONDS
        while (there := _attached_on(story)) != TARGET and time.monotonic() < give_up:
            time.sleep(0.1)
        time.sleep(0.5)
    worst = max(found.longest_gap_ms for found in measured.outages)
    story.hold(f"{MOVER} is wired on {TARGET}", true=there == TARGET)
    story.hold(
        f"it was cut off for {worst / 1000:.2f} s, the move of its memory included",
        true=worst <= OUTAGE_MS_AT_MOST,
    )


def _attached_on(story: Story) -> str | None:
    attachment = session.state_of(story.place).attachments.get(PortName(MOVER))
    return attachment.host if attachment is not None else None


def _escapes_as_planned(story: Story) -> None:
    """Two ESXi hosts keep their own switches: what these two say to each other nobody governs. Nothing else escapes."""
    shown = story.json("view")
    schemes = {host["host"]: host["scheme"] for host in shown["hosts"]}
    story.hold(f"{HOST} is carried by {schemes[HOST]}", true=schemes[HOST] == "substitution")
    native = {host for host, scheme in schemes.items() if scheme in {"separation", "vendor"}}
    named = story.escapes_as_planned(story.place.site())
    hosts = session.state_of(story.place).attachments
    ends = {hosts[PortName(port)].host for pair in named for port in pair}
    story.hold(f"each is between VMs of {' and '.join(sorted(native))}", true=bool(ends) and ends <= native)
