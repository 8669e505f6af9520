# SPDX-License-Identifier: Apache-2.0
"""A fault at every single call: late, refused, the session gone, the answer lost, somebody else at work.

The story makes everything that we make and takes it all back. Whatever went wrong on the way, those who try again arrive
at the same, and nothing is left over in the end.
"""

from itertools import count

import pytest
from pyVmomi import vim

from anyvisor.errors import RetryableError, TerminalError
from anyvisor.lab.vcenter.client import Fault
from anyvisor.model.estate import DropGroup, DropSwitch, Fence, Giveback, Remove
from anyvisor.model.kinds import SwitchKind
from anyvisor.model.names import HostName

ESX1, OLD = HostName("esx1"), HostName("old1")
ATTEMPTS = 8


class Story:
    """There, and back again."""

    def __init__(self, estate, steps, machines):
        self.estate = estate
        one, two = machines.cards("two")
        aged = machines.card("aged")
        self.there = [
            steps.switch(),
            steps.switch(OLD, kind=SwitchKind.VSS, name=steps.own),
            steps.trunk(),
            steps.group("a", 101),
            steps.group("b", 102),
            steps.group("c", 103, switch=steps.own, host=OLD),
            steps.deploy(),
            Fence(key="esx1/1"),
            steps.plug(one, "a"),
            steps.plug(two, "b"),
            steps.plug(aged, "c", switch=steps.own),
        ]
        self.back = [
            *(Giveback(card=card) for card in (one, two, aged)),
            Remove(key="esx1/1"),
            DropGroup(switch=steps.inner, name="av-8f3a01c2-b"),
            DropGroup(switch=steps.own, name="av-8f3a01c2-c", host=OLD),
            DropSwitch(name=steps.own),
            DropSwitch(name=steps.inner),
        ]

    def tell(self, steps, *, refused=()):
        """Try until it is done. What is raised meanwhile is one of ours, and says that one may try again."""
        for _ in range(ATTEMPTS):
            try:
                self.estate.apply(steps)
                return
            except (RetryableError, *refused) as error:
                last = error
        raise AssertionError("it does not converge") from last


def everything(running, vc):
    """All that a change could have changed, by name; without ports, which are taken as they come."""
    state = running.control.state()
    hosts = {host.key: host.name for host in state.hosts}
    groups = {group.key: group for group in state.port_groups}
    cluster = vc.one(vim.ClusterComputeResource, "C1").configurationEx
    return {
        "switches": {
            s.name: (s.version, s.mtu, frozenset(hosts[m.host] for m in s.members)) for s in state.switches
        },
        "groups": {
            g.name: (g.vlan, g.trunk, g.mac_learning, g.security) for g in state.port_groups if not g.uplink
        },
        "standard": {
            (host.name, switch.name): (switch.mtu, frozenset(switch.port_groups))
            for host in state.hosts
            for switch in host.switches
        },
        "vms": {
            vm.name: (hosts[vm.host], vm.power, tuple(place(nic, groups) for nic in vm.nics))
            for vm in state.vms
        },
        "memory": {
            vm.name: frozenset((o.key, o.value) for o in vm.config.extraConfig if o.key == "anyvisor.owner")
            for vm in vc.all(vim.VirtualMachine).values()
        },
        "rules": (
            frozenset(group.name for group in cluster.group),
            frozenset(rule.name for rule in cluster.rule),
        ),
    }


def place(nic, groups):
    if nic.backing is None:
        return None
    group = groups.get(nic.backing.port_group)
    return (group.name if group is not None else nic.backing.port_group, nic.connected, nic.started)


def remembered(vc):
    return [
        (name, option.key)
        for name, vm in vc.all(vim.VirtualMachine).items()
        for option in vm.config.extraConfig
        if option.key.startswith("anyvisor.before")
    ]


@pytest.fixture
def story(estate, steps, machines):
    return Story(estate, steps, machines)


FAULTS = {
    "the connection is cut before": (3, {"fault": "cut"}, ()),
    "the connection is cut after": (1, {"fault": "cut", "after": True}, ()),
    "the session ends": (2, {"fault": "NotAuthenticated"}, ()),
    "a proxy says 503": (5, {"http": 503}, ()),
    "a proxy says 502 after": (5, {"http": 502, "after": True}, ()),
    "somebody else is at work": (3, {"fault": "TaskInProgress"}, ()),
    "the task fails": (2, {"fault": "SystemError", "in_task": True}, ()),
    "the task meets somebody else": (2, {"fault": "ConcurrentAccess", "in_task": True}, ()),
    "the host does not answer": (5, {"fault": "HostNotReachable"}, ()),
    "a right is missing": (5, {"fault": "NoPermission"}, (TerminalError,)),
    "the object is in use": (5, {"fault": "ResourceInUse"}, ()),
}
"""How many calls apart it strikes, what it is, and whether it may say that trying again does not help."""


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_any_call_delays_and_leaves_nothing_behind(story, running, vc, fault):
    stride, kind, refused = FAULTS[fault]
    before = everything(running, vc)
    story.tell(story.there)
    arrived = everything(running, vc)
    story.tell(story.back)
    assert everything(running, vc) == before

    for skip in count(len(fault) % stride, stride):
        number = running.control.inject(Fault(method="*", skip=skip, **kind))
        story.tell(story.there, refused=refused)
        if running.control.struck(number):
            assert everything(running, vc) == arrived, f"call {skip}"
        story.tell(story.back, refused=refused)
        struck = running.control.struck(number)
        running.control.clear_faults()
        assert everything(running, vc) == before, f"call {skip}"
        assert remembered(vc) == []
        if not struck:
            break
    assert skip > 60, "the story has more calls than that"


@pytest.mark.parametrize(
    "method",
    [
        "CreateDVS_Task",
        "ReconfigureDvs_Task",
        "AddDVPortgroup_Task",
        "ReconfigVM_Task",
        "CloneVM_Task",
        "PowerOnVM_Task",
    ],
)
def test_an_answer_that_is_late_is_a_lost_one_and_done_all_the_same(
    connect, running, steps, machines, method
):
    story = Story(connect(answer_seconds=0.3), steps, machines)
    running.control.inject(Fault(method=method, delay_seconds=0.6, after=True))

    with pytest.raises(RetryableError, match="no answer in time"):
        story.estate.apply(story.there)
    story.tell(story.there)

    estate = story.estate.estate()
    assert len(estate.groups) == 4
    assert estate.appliances["esx1/1"].trunk_connected is False
    story.tell(story.back)
    assert (dict(story.estate.estate().groups), dict(story.estate.estate().appliances)) == ({}, {})


@pytest.mark.parametrize(
    "method", ["CreateDVS_Task", "AddDVPortgroup_Task", "ReconfigVM_Task", "CloneVM_Task"]
)
def test_a_vcenter_that_dies_in_the_middle_costs_a_second_try(story, running, start, vc, method):
    before = everything(running, vc)
    port = running.url.rsplit(":", 1)[1].split("/")[0]
    running.control.inject(Fault(method=method, fault="cut", after=True))

    with pytest.raises(RetryableError):
        story.estate.apply(story.there)
    running.kill()
    with pytest.raises(RetryableError):
        story.estate.apply(story.there)
    again = start(listen=f"127.0.0.1:{port}")
    story.tell(story.there)
    story.tell(story.back)

    client = type(vc)(again)
    after = everything(again, client)
    client.close()
    assert after == before
