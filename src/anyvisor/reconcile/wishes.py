# SPDX-License-Identifier: Apache-2.0
"""How anyvisor makes appliances, as the site's policy says."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from anyvisor.codec.appliance_network import appliance_metadata, card_macs
from anyvisor.codec.user_data import appliance_user_data
from anyvisor.model.host import Host
from anyvisor.model.names import HostName
from anyvisor.model.policy import AppliancePolicy
from anyvisor.model.site import Controller
from anyvisor.model.state import State
from anyvisor.planner import seats
from anyvisor.planner.appliances import ApplianceWish, appliance_key


class ApplianceWishes:
    """How the appliances of hosts are made, by `appliance_key`; none where the operator makes them.

    What was said of a host is said again as long as neither it nor what all of them are told changes.
    """

    def __init__(self) -> None:
        self._basis: tuple[AppliancePolicy, str, Controller | None] | None = None
        self._made: dict[str, tuple[Host, ApplianceWish]] = {}

    def __call__(self, state: State, hosts: Iterable[HostName]) -> dict[str, ApplianceWish]:
        """Those of these hosts."""
        policy = state.site.policy.appliance
        if policy is None:
            return {}
        basis = (policy, state.owner, state.site.controller)
        if basis != self._basis:
            self._basis, self._made = basis, {}
        return {
            appliance_key(host, number): self._wish(state, state.site.hosts[host], policy, number)
            for host in hosts
            for number in seats.numbers(state.site.policy)
        }

    def _wish(self, state: State, host: Host, policy: AppliancePolicy, number: int) -> ApplianceWish:
        key = appliance_key(host.name, number)
        controller = state.site.controller
        made = self._made.get(key)
        if made is None or made[0] is not host:
            wish = ApplianceWish(
                template=policy.template,
                networks={"management": policy.management, "tunnel": policy.tunnel},
                user_data=appliance_user_data(
                    host,
                    policy,
                    number,
                    owner=state.owner,
                    southbound=controller.for_chassis if controller is not None else "",
                ),
                macs=card_macs(state.owner, host.name, number),
                metadata=partial(appliance_metadata, state.owner, host.name, number),
            )
            made = self._made[key] = (host, wish)
        return made[1]
