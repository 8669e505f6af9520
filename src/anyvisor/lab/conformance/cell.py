# SPDX-License-Identifier: Apache-2.0
"""A cell of the table: a hypervisor under a scheme, and the VMs on it that are tried. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from anyvisor.errors import TerminalError
from anyvisor.lab.conformance.cast import FRIENDS, SERVED
from anyvisor.lab.expectation import picture_of
from anyvisor.lab.topology import LabHost, Topology
from anyvisor.model.kinds import AttachmentKind, Hypervisor, Scheme
from anyvisor.model.names import GroupName, HostName, PortName
from anyvisor.model.state import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What carries a host's VMs, as the state has it. `client` may be spoken to by nobody first, `server` by some.

    `tunnelled` are the host's VMs on other networks. `shared`: the first two are on one tag of the host's inner switch.
    """

    host: HostName
    hypervisor: Hypervisor
    scheme: Scheme
    kinds: tuple[AttachmentKind, ...]
    client: PortName
    server: PortName
    tunnelled: tuple[PortName, ...] = ()
    version: str = ""
    switch: str = ""
    shared: bool = False

    @property
    def title(self) -> str:
        """What the table calls it."""
        form = ", no agent" if AttachmentKind.CHILD in self.kinds else ""
        if self.scheme is Scheme.APPLIANCE and AttachmentKind.VIF in self.kinds:
            form = ", driver domain"
        return f"{self.hypervisor}/{self.scheme}{form}" + (", shared tag" if self.shared else "")

    @property
    def ports(self) -> tuple[PortName, ...]:
        """All VMs."""
        return self.client, self.server, *self.tunnelled


def cells(topology: Topology, state: State) -> tuple[Cell, ...]:
    """Every host with a VM in group `friends` and one in `served`, by the scheme in force, in the topology's order.

    Raises:
        TerminalError: two hosts make the same cell, so that one would hide the other in the table.
    """
    found: dict[str, Cell] = {}
    for host in topology.hosts:
        for cell in _of_host(topology, host, state):
            if cell.title in found:
                raise TerminalError(f"{found[cell.title].host} and {host.name} are both {cell.title}")
            found[cell.title] = cell
    return tuple(found.values())


def _of_host(topology: Topology, host: LabHost, state: State) -> Iterator[Cell]:
    name = HostName(host.name)
    picture = picture_of(state)
    scheme = picture.schemes.get(name)
    client, server = (_first(topology, host, state, group) for group in (FRIENDS, SERVED))
    if scheme is None or client is None or server is None:
        return
    ports = state.site.ports
    others = (PortName(vm.name) for vm in topology.vms_of(host.name))
    attached = (state.attachments.get(port) for port in (client, server))
    yield Cell(
        host=name,
        hypervisor=host.hypervisor,
        scheme=scheme,
        kinds=tuple(sorted({attachment.kind for attachment in attached if attachment is not None})),
        client=client,
        server=server,
        tunnelled=tuple(vm for vm in others if vm in ports and ports[vm].network != ports[client].network),
        version=host.version,
        switch=host.switch.value,
        shared={client, server} <= picture.shared,
    )


def _first(topology: Topology, host: LabHost, state: State, group: GroupName) -> PortName | None:
    names = (PortName(vm.name) for vm in topology.vms_of(host.name))
    ports = (state.site.ports[name] for name in names if name in state.site.ports)
    return next((port.name for port in ports if group in port.security_groups), None)
