# SPDX-License-Identifier: Apache-2.0
"""A real Xen host under emulation joins the fleet and goes through every scheme that Xen allows."""

from __future__ import annotations

from pathlib import Path

import click

from anyvisor.lab import session
from anyvisor.lab.checks import Check
from anyvisor.lab.demo.story import Story
from anyvisor.lab.progress import on_standard_error
from anyvisor.lab.verify import HEARD
from anyvisor.lab.xen.operator import PACE, READY_SECONDS, XenOperator
from anyvisor.lab.xen.stage import STAGES, Stage

HOST = "xen2"
APPLIANCE_IP = "192.168.77.42"
FIRST, SECOND = "web15", "web16"
"""Its VMs."""
OUTSIDE = "outside"
PEERS = frozenset({"web1", "web4", "web7", "web11", "db1"})
"""VMs on KVM with Open vSwitch, on the converted KVM host, behind an appliance on ESXi, behind a DPU, and behind the
router: what passes an emulated host is slow, so the first VM is tried with one of each kind."""
WORDS = {
    "appliance": "a domain beside the guests switches for them; dom0's bridge keeps each vif apart",
    "appliance, driver domain": "a network driver domain serves the guests' vifs; dom0 does not see their frames",
    "separation": "dom0's Linux bridge stays; what its guests say to each other nobody governs",
    "substitution": "dom0's Linux bridge becomes Open vSwitch while the guests run",
}
"""What each stage is about."""


def tell(story: Story, base: Path) -> None:
    """From the host's boot to the last view. `base` is what ``tools/xen.sh`` has filled.

    Raises:
        TerminalError: a step could not be carried out.
    """
    topology = session.topology_of(story.place)
    operator = XenOperator(story.place, topology, HOST, base, on_standard_error(), appliance_ip=APPLIANCE_IP)
    with story.chapter(f"{HOST} joins: a real Xen with a Debian dom0, emulated as a whole"):
        said = operator.boot()
        click.echo(click.style(f"{HOST}# anyvisor agent --install --host {HOST} --database …", fg="cyan"))
        click.echo(said.rstrip())
    for stage in STAGES:
        with story.chapter(f"{HOST}: {stage.title}"):
            click.echo(f"{WORDS[stage.title]}.")
            _stage(story, operator, stage)
            if stage is STAGES[-1]:
                story.anyvisor("view")
            operator.leave(stage)


def _stage(story: Story, operator: XenOperator, stage: Stage) -> None:
    site = operator.site(stage)
    story.anyvisor("plan", "-f", str(site))
    operator.enter(stage)
    if stage.goes_on:
        _convert(story, site)
    else:
        _apply(story, site)
    shown = {host["host"]: host["scheme"] for host in story.json("view")["hosts"]}
    story.hold(f"{HOST} is carried by {shown[HOST]}", true=shown[HOST] == stage.scheme)
    story.check(only=is_tried, pace=PACE)
    story.escapes_as_planned(site)


def _apply(story: Story, site: Path) -> None:
    story.anyvisor("apply", "-f", str(site), "--wait", str(READY_SECONDS))


def _convert(story: Story, site: Path) -> None:
    with story.measuring(("web1", FIRST), (SECOND, FIRST)) as measured:
        _apply(story, site)
    story.hold("no packet arrived twice", true=not any(found.duplicates for found in measured.outages))


def is_tried(check: Check) -> bool:
    """Whether the check is one of those that the host's VMs are tried with."""
    if check.proto in HEARD or check.proto == "spoof":
        return check.source in {FIRST, SECOND}
    ends = {check.source, check.target}
    return FIRST in ends and ends <= {FIRST, SECOND, OUTSIDE} | PEERS
