# SPDX-License-Identifier: Apache-2.0
"""Ports behind an appliance without agent: OVN children of its trunk card, claimed by real ovn-controllers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from anyvisor.drivers.ovn.controller import OvnController
from anyvisor.model.kinds import AttachmentKind
from anyvisor.model.logical import LogicalNetwork, LogicalPort, LogicalTrunk
from anyvisor.model.network import Subnet
from anyvisor.planner.moves import Binding
from anyvisor.planner.seats import trunk_port
from anyvisor.testing.daemons import wait_until
from anyvisor.testing.sandbox import OvnSandbox

pytestmark = pytest.mark.ovn

WEB = LogicalNetwork(name="web", subnets=(Subnet(cidr="10.1.0.0/24", dhcp=True),), mtu=1442)
TRUNKS = tuple(LogicalTrunk(host=host, chassis=(host,)) for host in ("esx1", "esx2"))


def child(number: int, **changes: object) -> LogicalPort:
    base = LogicalPort(
        name=f"vm{number}",
        network="web",
        kind=AttachmentKind.CHILD,
        mac=f"52:54:00:00:00:{number:02x}",
        addresses=(f"10.1.0.{number + 10}",),
        groups=(),
        chassis=("esx1",),
        tag=100 + number,
        dhcp=(4,),
        subnets=("10.1.0.0/24",),
    )
    return replace(base, **changes)


@pytest.fixture
def sandbox() -> Iterator[OvnSandbox]:
    with OvnSandbox() as running:
        yield running


@pytest.fixture
def controller(sandbox: OvnSandbox) -> Iterator[OvnController]:
    driver = OvnController(sandbox.northbound, sandbox.southbound, "owner-1", timeout_seconds=10)
    driver.start()
    yield driver
    driver.close()


def put(controller: OvnController, *wanted: object, unwanted: tuple = ()) -> None:
    planned = controller.plan(wanted, unwanted)
    assert planned.refusals == ()
    controller.apply(planned)
    assert controller.plan(wanted, unwanted).changes == ()


def bound(controller: OvnController, **expected: str | None) -> None:
    def there() -> bool:
        found = controller.bindings(list(expected))
        return all(
            (found.get(port, Binding(chassis=None)).chassis == chassis) for port, chassis in expected.items()
        )

    wait_until(there, f"bound as {expected}")


def test_children_are_bound_where_their_trunk_is_and_move_with_parent_tag_and_chassis_in_one(
    sandbox, controller
):
    for host in ("esx1", "esx2"):
        sandbox.add_chassis(host).plug(trunk_port(host), f"trunk-{host}")
    put(controller, WEB, *TRUNKS, child(1), child(2))
    controller.follow(["vm1", "vm2"])

    bound(controller, vm1="esx1", vm2="esx1")
    put(controller, child(1, chassis=("esx2",), tag=209))
    bound(controller, vm1="esx2", vm2="esx1")

    rows = {row["name"]: row for row in sandbox.rows("Logical_Switch_Port", "name", "parent_name", "tag")}
    assert (rows["vm1"]["parent_name"], rows["vm1"]["tag"]) == ("esx2:trunk", 209)


def test_frames_of_a_tag_go_to_its_child_and_a_trunk_takes_nothing_untagged_in(sandbox, controller):
    host = sandbox.add_chassis("esx1")
    host.plug(trunk_port("esx1"), "trunk0")
    put(controller, WEB, TRUNKS[0], child(1), child(2))
    controller.follow(["vm1"])
    bound(controller, vm1="esx1")

    def flows() -> list[str]:
        shown = host.ofctl("dump-flows", "br-int", "table=0")
        return [line for line in shown.splitlines() if "dl_vlan=101" in line]

    wait_until(lambda: bool(flows()), "the child has its flow")
    (flow,) = flows()
    assert "strip_vlan" in flow
    trunk = next(
        r for r in sandbox.rows("Logical_Switch_Port", "name", "enabled") if r["name"] == "esx1:trunk"
    )
    assert trunk["enabled"] is False


def test_a_child_that_becomes_a_plain_port_keeps_neither_parent_nor_tag_and_the_trunk_goes(
    sandbox, controller
):
    put(controller, WEB, TRUNKS[0], child(1))
    put(controller, child(1, kind=AttachmentKind.VLAN_ACCESS, tag=None), unwanted=(TRUNKS[0].key,))

    rows = {
        row["name"]: row for row in sandbox.rows("Logical_Switch_Port", "name", "parent_name", "tag_request")
    }
    assert set(rows) == {"vm1"}
    empty = ["set", []]
    assert (rows["vm1"]["parent_name"], rows["vm1"]["tag_request"]) == (empty, empty)
    assert {row["name"] for row in sandbox.rows("Logical_Switch", "name")} == {"web"}
