# SPDX-License-Identifier: Apache-2.0
"""The contract of every manager's driver, as far as a pool has such things: no inner switches, trunks or appliances."""

import pytest

from anyvisor.model.estate import CardId, DropGroup
from anyvisor.model.kinds import SwitchKind
from anyvisor.testing.estate_contract import INNER, EstateContract, EstateSample


def refuse(*_):
    raise NotImplementedError


class TestPool(EstateContract):
    kind = SwitchKind.OPENVSWITCH

    # Inner switches, trunks, appliances: `test_what_a_pool_has_not_is_refused`.
    test_a_switch_is_made_once_and_takes_more_hosts = None
    test_a_switch_of_somebody_else_is_left_alone = None
    test_a_trunk_carries_all_vlans_and_learns = None
    test_an_appliance_is_made_fenced_started_and_removed = None
    test_an_appliance_is_pinned_and_pinned_anew = None
    test_each_appliance_is_another_vm = None
    test_an_appliance_that_cannot_be_made_leaves_nothing_behind = None
    # Ends with the inner switch: `test_a_network_in_use_stays_whatever_xapi_would_do`.
    test_what_is_in_use_is_not_removed = None
    # The planner never asks for it: `test_what_a_group_is_for_may_change_but_not_its_vlan`.
    test_a_group_is_made_changed_and_removed = None
    # `test_of_counters_nothing_is_known`
    test_counters_leave_out_what_is_not_there = None

    @pytest.fixture
    def sample(self, pool):
        """Both hosts have a third card, whose switch is where groups are made."""
        hosts = [pool.named("host", name) for name in ("xen1", "xen2")]
        bridge = pool.add_network("third", INNER)
        for host in hosts:
            pool.add_pif(host, bridge, "eth2", physical=True)
        sriov = pool.add_network("sriov", "xapi5")
        pool.add_pif(hosts[0], sriov, "eth1", sriov_logical_PIF_of=["OpaqueRef:s"])
        pool.add_vm("fast", hosts[0], sriov)

        def card(vm):
            return CardId(pool.records.row("VM", pool.named("VM", vm))["uuid"], "0")

        def move(vm, host):
            pool.begin_move(pool.named("VM", vm), pool.named("host", host))
            pool.finish_move(pool.named("VM", vm))

        return EstateSample(
            hosts=("xen1", "xen2"),
            card=card("vm1"),
            other=card("vm2"),
            passthrough=card("fast"),
            foreign_switch="xenbr1",
            foreign_group="guests",
            template="",
            networks={},
            move=move,
            power_off=refuse,
            unpin=refuse,
        )

    def switch(self, sample, *hosts):
        """It is there already: a step that changes nothing."""
        return DropGroup(switch=INNER, name="av-none")
