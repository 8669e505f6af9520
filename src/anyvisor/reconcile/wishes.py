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
from anyvisor.model.state import State
from anyvisor.planner import seats
from anyvisor.planner.appliances import ApplianceWish, appliance_key


class ApplianceWishes:
    """How the appliances of hosts are made, by `appliance_key`; none where the operator makes them.

    What was said of a host is said again as long as neither it nor the policy changes.
    """

    def __init__(self) -> None:
        self._policy: AppliancePolicy | None = None
        self._owner = ""
        self._made: dict[str, tuple[Host, ApplianceWish]] = {}

    def __call__(self, state: State, hosts: Iterable[HostName]) -> dict[str, ApplianceWish]:
        """Those of these hosts."""
        policy = state.site.policy.appliance
        if policy is None:
            return {}
        if (policy, state.owner) != (self._policy, self._owner):
            self._policy, self._owner, self._made = policy, state.owner, {}
        return {
            appliance_key(host, number): self._wish(state.site.hosts[host], policy, number)
            for host in hosts
            for number in seats.numbers(state.site.policy)
        }

    def _wish(self, host: Host, policy: AppliancePolicy, number: int) -> ApplianceWish:
        key = appliance_key(host.name, number)
        made = self._made.get(key)
        if made is None or made[0] is not host:
            wish = ApplianceWish(
                template=policy.template,
                networks={"management": policy.management, "tunnel": policy.tunnel},
                user_data=appliance_user_data(host, policy, number, owner=self._owner),
                macs=card_macs(self._owner, host.name, number),
                metadata=partial(appliance_metadata, self._owner, host.name, number),
            )
            made = self._made[key] = (host, wish)
        return made[1]
