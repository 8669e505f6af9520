# SPDX-License-Identifier: Apache-2.0
"""The whole story in one go: ``python -m anyvisor.lab.demo`` (`make demo`).

A mixed lab is built: KVM hosts, one of them with a DPU, beside ESXi hosts under a vCenter. A KVM host keeps its native
switch and traffic escapes; the same host is converted while its VMs run, and a VM moves between ESXi hosts; nothing
escapes any more. Every statement is checked with real packets or against what the product reports. What the product
does is done by its own commands, which are shown, so that a reader can repeat them.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import click

from anyvisor.errors import AnyvisorError
from anyvisor.lab import down, outage, report, rootless, session, topology_file, up
from anyvisor.lab.esxi import centre
from anyvisor.lab.place import Place
from anyvisor.lab.product import Product
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
WIDTH = 100


@dataclass(slots=True)
class Story:
    """What has been found so far."""

    place: Place
    begin: float = field(default_factory=time.monotonic)
    findings: list[tuple[bool, str]] = field(default_factory=list)
    chapters: int = 0
    daemon: subprocess.Popen[bytes] | None = None

    @contextmanager
    def chapter(self, title: str) -> Iterator[None]:
        """A heading, and how long what stands under it took."""
        self.chapters += 1
        text = f" {self.chapters}. {title} "
        click.echo("\n" + click.style("──" + text + "─" * (WIDTH - len(text) - 2), bold=True))
        begin = time.monotonic()
        yield
        click.echo(click.style(f"({time.monotonic() - begin:.1f} s)", dim=True))

    def hold(self, words: str, *, true: bool) -> None:
        """A statement that must be true for the demo to succeed."""
        self.findings.append((true, words))
        mark = click.style("holds ", fg="green") if true else click.style("BROKEN", fg="red", bold=True)
        click.echo(f"{mark} {words}")

    def anyvisor(self, *arguments: str) -> None:
        """Run a command of the product before the reader's eyes.

        Raises:
            TerminalError: it failed.
        """
        click.echo(click.style("$ anyvisor " + " ".join(arguments), fg="cyan"))
        self.product.run(*arguments)

    def serve(self) -> None:
        """Start anyvisord; `end` stops it."""
        click.echo(click.style("$ anyvisor serve &", fg="cyan"))
        self.daemon = self.product.serve()

    def end(self) -> None:
        """Stop the daemon."""
        if self.daemon is not None:
            self.daemon.terminate()
            self.daemon.wait()

    def json(self, *arguments: str) -> Any:
        """The document that a command of the product prints."""
        return self.product.json(*arguments)

    @property
    def product(self) -> Product:
        """Its commands."""
        return Product(self.place)


def tell(story: Story) -> None:
    """Everything from `up` to the last view; the caller deletes the lab."""
    place = story.place
    with story.chapter("Ten hosts of three hypervisors, 28 VMs, one SDN controller: the lab"):
        up.up(place, topology_file.load("mixed"), up.Options(), on_standard_error())
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
            "A Xen host with a DPU is in this lab; the other schemes on Xen take a real one: `make test-xen`."
        )
    with story.chapter(
        "Plan: kvm3 and esx1 keep their switches, esx2 and esx3 get appliances, the cards of kvm4, xen1 and esx5 switch"
    ):
        story.anyvisor("plan", "-f", str(place.site("separation")))
    with story.chapter("Apply"):
        story.anyvisor("apply", "-f", str(place.site("separation")))
    with story.chapter("Every pair of VMs, with real packets"):
        _verify(story)
    with story.chapter("What the controller sees, and what escapes it"):
        _traffic(story)
        story.anyvisor("view")
        _escapes_are_named(story)
    with story.chapter("kvm3 becomes an Open vSwitch host while its VMs run (substitution)"):
        _convert(story)
    with story.chapter(f"{MOVER} moves from one ESXi host to another (vMotion)"):
        _move(story)
    with story.chapter("Every pair of VMs again"):
        _verify(story)
    with story.chapter("The overall view: what still escapes was planned"):
        _traffic(story)
        story.anyvisor("view")
        _escapes_as_planned(story)


def _verify(story: Story) -> None:
    found = session.check(story.place, on_standard_error())
    for line in report.to_text(found, story.place):
        click.echo(line)
    good = len(found.results) - len(found.failures)
    story.hold(f"{good} of {len(found.results)} packets did what the plan said", true=not found.failures)


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
    flows = [
        session.flow(story.place, source, target),
        session.flow(story.place, source, "web1"),
        session.flow(story.place, "db1", "db3"),
    ]
    with session.measuring(story.place, *flows) as measured:
        story.anyvisor("apply", "-f", str(story.place.site()))
    for found in measured.outages:
        click.echo(f"  {found}")
    worst = max(found.longest_gap_ms for found in measured.outages)
    story.hold(
        f"while {HOST} was converted no VM was cut off for longer than {worst / 1000:.2f} s",
        true=worst <= OUTAGE_MS_AT_MOST,
    )
    story.hold("no packet arrived twice", true=not any(found.duplicates for found in measured.outages))


def _move(story: Story) -> None:
    flows = [session.flow(story.place, "web1", MOVER), session.flow(story.place, "web8", MOVER)]
    click.echo(f"$ in vCenter: migrate {MOVER} to {TARGET}")
    with session.measuring(story.place, *flows) as measured:
        centre.control(story.place).vm(MOVER, move_to=TARGET)
        give_up = time.monotonic() + MOVE_SECONDS
        while (there := _attached_on(story)) != TARGET and time.monotonic() < give_up:
            time.sleep(0.1)
        time.sleep(0.5)
    for found in measured.outages:
        click.echo(f"  {found}")
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
    named, planned = (
        _pairs(document) for document in (shown, story.json("plan", "-f", str(story.place.site())))
    )
    story.hold(f"the {len(named)} pairs that escape are the ones that the plan named", true=named == planned)
    hosts = session.state_of(story.place).attachments
    ends = {hosts[PortName(port)].host for pair in named for port in pair}
    story.hold(f"each is between VMs of {' and '.join(sorted(native))}", true=bool(ends) and ends <= native)


def _pairs(document: Any) -> set[frozenset[str]]:
    return {frozenset((pair["from"], pair["to"])) for pair in document["escapes"]}


def _ending(story: Story) -> bool:
    broken = [words for true, words in story.findings if not true]
    seconds = time.monotonic() - story.begin
    good = len(story.findings) - len(broken)
    click.echo("")
    for words in broken:
        click.echo(click.style("BROKEN ", fg="red", bold=True) + words)
    colour = "red" if broken else "green"
    click.echo(
        click.style(f"{good} of {len(story.findings)} statements hold, {seconds:.0f} s in all", fg=colour)
    )
    return not broken


def _where_to_look(place: Place) -> None:
    click.echo(f"The lab stays up. Its files are in {place.folder}; a few things to try:")
    click.echo(f"  export ANYVISOR_DATABASE={place.database}")
    click.echo(f"  anyvisor explain {HOST}; anyvisor explain web4")
    click.echo(f"  anyvisor lab exec --name {place.name} web4 ip address      a look into a VM")
    click.echo(f"  anyvisor lab ping --name {place.name} web4 web5            a measured stream")
    click.echo(f"  anyvisor lab down --name {place.name}                      delete it all")


def _where_to_read() -> None:
    click.echo("Where to look:")
    click.echo("  make demo KEEP=1               the same, and the lab stays up to look into")
    click.echo("  anyvisor lab up; lab test      a lab of your own; docs/testing.md says how it is made")
    click.echo(
        "  docs/schemes/                  what each scheme does and costs; docs/critiques.md: what is weak"
    )
    click.echo("  docs/reference/                commands, site file, settings, databases")


def run(place: Place, *, keep: bool) -> bool:
    """Tell the story; True if every statement held. The lab is deleted unless `keep`.

    Raises:
        AnyvisorError: a step could not be carried out.
    """
    if place.folder.exists():
        click.echo(f"deleting the earlier lab {place.name!r}")
        down.down(place)
    story = Story(place=place)
    try:
        tell(story)
        return _ending(story)
    finally:
        story.end()
        if keep and place.folder.exists():
            _where_to_look(place)
        else:
            down.down(place)
            click.echo("The lab is deleted.")
            _where_to_read()


@click.command()
@click.option("--keep", is_flag=True, help="Leave the lab up.")
@click.option("--name", default="demo", show_default=True, help="What to call the lab.")
def main(*, keep: bool, name: str) -> None:
    """Show the whole story in a lab of its own."""
    place = Place(name=name)
    alone = rootless.needed()
    if alone:
        rootless.start(place)
    try:
        held = run(place, keep=keep)
    except AnyvisorError as error:
        click.echo(click.style("error: ", fg="red") + str(error), err=True)
        if error.hint:
            click.echo(f"  {error.hint}", err=True)
        held = False
    if alone and not place.folder.exists():
        rootless.end(place)
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
