# SPDX-License-Identifier: Apache-2.0
"""A fault at each call that a life of the product makes: said while it lasts, without a trace afterwards.

A life: everything is built from nothing, a VM moves, a port goes, everything goes. It is lived once without faults; that gives
the calls, and what there is after each of its parts. By default each method and each fault has its turn; with
ANYVISOR_FAULTS=all (`make vcenter-faults`) every fault strikes every method, once and for a while.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product as pairs

import pytest

from anyvisor.errors import UnreachableError
from anyvisor.lab.vcenter.client import Fault
from anyvisor.model.kinds import Scheme

ALL = os.environ.get("ANYVISOR_FAULTS") == "all"
EVERYBODY = ("web", "db", "aged", "plain", "wide")

READS = (
    "CreateContainerView", "CreateFilter", "CreatePropertyCollector", "DestroyView", "FetchDVPorts",
    "HasPrivilegeOnEntities", "Login", "Logout",
    "QueryAssignedLicenses", "QueryEvents", "QueryPerf", "RefreshDVPortState", "RetrievePropertiesEx",
    "RetrieveServiceContent", "WaitForUpdatesEx",
)  # fmt: skip
WRITES = (
    "AddDVPortgroup_Task", "AddPortGroup", "AddVirtualSwitch", "CloneVM_Task", "CreateDVS_Task", "Destroy_Task",
    "PowerOffVM_Task", "PowerOnVM_Task", "ReconfigVM_Task", "ReconfigureAutostart",
    "ReconfigureComputeResource_Task", "ReconfigureDvs_Task", "RemovePortGroup",
    "RemoveVirtualSwitch",
)  # fmt: skip
"""What a life calls. The first test holds these tables to it, so that no call is missed."""

NAMED = (
    "InvalidState", "ResourceInUse", "ConcurrentAccess", "DvsFault", "HostCommunication", "HostNotReachable",
    "RequestCanceled", "SystemError", "NotAuthenticated", "NoPermission", "TaskInProgress", "DuplicateName",
)  # fmt: skip
LATE = {"answer_seconds": 1.0}
FAULTS = {
    **{name: {"fault": name} for name in NAMED},
    "cut before": {"fault": "cut"},
    "cut after": {"fault": "cut", "after": True},
    "late": {"delay_seconds": 1.3},
    "late after": {"delay_seconds": 1.3, "after": True},
}
IN_TASKS = {
    f"{name} in the task": {"fault": name, "in_task": True} for name in NAMED if name != "NotAuthenticated"
}
TURNS_AT_MOST, ERRORS_AT_MOST = 12, 3


@dataclass
class Part:
    """A part of a life: what happens, and what ends it."""

    name: str
    begin: Callable[[], None]
    end: Callable[[], None] = lambda: None


def life(product):
    """Its parts, in order."""
    separated = dict.fromkeys(("esx1", "esx2", "old1"), Scheme.SEPARATION)
    return (
        Part("build", lambda: product.want(EVERYBODY)),
        Part("depart", lambda: product.move("web", "esx2")),
        Part("arrive", lambda: product.arrive("web", "esx2")),
        Part("a port goes", lambda: product.want([vm for vm in EVERYBODY if vm != "db"])),
        Part(
            "everything goes",
            lambda: product.want((), schemes=separated),
            lambda: product.ensure_on("web", "esx1"),
        ),
    )


@dataclass
class Record:
    """What each part of a life without faults called and led to."""

    worlds: dict = field(default_factory=dict)
    calls: dict = field(default_factory=dict)


@pytest.fixture(scope="session")
def record(products):
    """The second of two lives: what the first one leaves is what the second one begins with."""
    product = products()
    found = Record()
    for _ in range(2):
        before = product.control.calls()
        product.restart()
        for part in life(product):
            part.begin()
            product.settle()
            after = product.control.calls()
            found.calls[part.name] = {name for name, count in after.items() if count > before.get(name, 0)}
            found.worlds[part.name] = product.world()
            before = after
            part.end()
        product.now += 10_000.0
    return found


def live(product, record, method, strike, **patience):
    """A life in which `strike` happens in each part that calls the method. In the end all is as without it."""
    for part in life(product):
        if part.name == "build":
            product.restart(**patience)
        part.begin()
        if method in record.calls[part.name]:
            strike(part.name)
        product.settle()
        assert product.world() == record.worlds[part.name], part.name
        assert [c for c in product.conditions() if not c.true] == [], part.name
        part.end()
    product.good = True


def cases():
    """Every method and fault, once and for a while; or such a slice that each of them is in it."""
    every = [
        *pairs((*WRITES, *READS), FAULTS),
        *pairs((method for method in WRITES if method.endswith("_Task")), IN_TASKS),
    ]
    if ALL:
        return [(method, fault, count) for (method, fault), count in pairs(every, (1, -1))]
    names = list(FAULTS)
    whole = [(m, names[n * 5 % len(names)], -1 if n % 3 else 1) for n, m in enumerate((*WRITES, *READS))]
    tasks = [method for method in WRITES if method.endswith("_Task")]
    return whole + [(tasks[n % len(tasks)], fault, -1 if n % 2 else 1) for n, fault in enumerate(IN_TASKS)]


def test_the_tables_have_every_call_of_a_life(record):
    assert sorted(set().union(*record.calls.values())) == sorted((*READS, *WRITES))


def test_the_slice_has_every_method_and_every_fault():
    assert {method for method, _, _ in cases()} == {*READS, *WRITES}
    assert {fault for _, fault, _ in cases()} == {*FAULTS, *IN_TASKS}


@pytest.mark.parametrize(
    ("method", "fault", "count"),
    [pytest.param(*c, id=f"{c[0]}-{c[1]}-{'once' if c[2] == 1 else 'for a while'}") for c in cases()],
)
def test_a_fault_is_said_while_it_lasts_and_leaves_nothing_behind(product, record, method, fault, count):
    kind = (FAULTS | IN_TASKS)[fault]
    strikes = []

    def strike(part):
        if method == "Logout":
            product.turn()
        number = product.control.inject(Fault(method=method, count=count, **kind))
        if method == "Logout":
            product.restart()
        errors = 0
        for _ in range(TURNS_AT_MOST):
            turn = product.turn()
            if turn.error is not None:
                errors += 1
                assert_said(product, turn.error)
            if turn.quiet or errors == ERRORS_AT_MOST or (count == 1 and product.control.struck(number)):
                break
        else:
            raise AssertionError(f"{part}: neither does it arrive nor does it say why not")
        strikes.append(product.control.struck(number))
        if turn.quiet:  # it can do without
            assert product.world() == record.worlds[part]
        product.control.clear_faults()

    live(product, record, method, strike, **(LATE if "delay_seconds" in kind else {}))

    assert sum(strikes) > 0


@pytest.mark.parametrize("method", WRITES if ALL else WRITES[::4])
def test_a_vcenter_that_is_restarted_in_the_middle_delays_and_leaves_nothing_behind(product, record, method):
    def strike(_):
        product.control.inject(Fault(method=method, fault="cut", after=True, count=-1))
        while product.turn().error is None:
            pass
        product.kill()
        error = product.turn().error
        assert isinstance(error, UnreachableError)
        assert_said(product, error)
        product.revive()

    live(product, record, method, strike)


def assert_said(product, error):
    """In a sentence for a person, with the word for programs."""
    told = [condition for condition in product.conditions() if not condition.true]
    assert str(error) in " ".join(condition.message for condition in told)
    for condition in told:
        assert condition.reason in {"Unreachable", "TriesAgain", "Refused", "Foreign", "Incomplete"}
        assert condition.message.startswith("vc1: ")
        assert "fault." not in condition.message
        assert "\n" not in condition.message
