# SPDX-License-Identifier: Apache-2.0
"""An attendant in its own thread, with a watch: it comes to the same by itself, however often the vCenter dies."""

import pytest

from anyvisor.drivers.vsphere.estate import Patience, VsphereEstate
from anyvisor.reconcile import findings
from anyvisor.reconcile.attendant import Attendant
from anyvisor.reconcile.estate import EstateReconciler
from anyvisor.reconcile.notices import MANAGER, say
from anyvisor.testing.daemons import wait_until

EVERYBODY = ("web", "db", "aged", "plain", "wide")
SECONDS = 60.0


@pytest.fixture
def attended(product, wishes):
    """The attendant, wired as the daemon wires it."""
    product.restart()

    def connect():
        return VsphereEstate.connect(
            product.manager,
            product.store.snapshot().owner,
            patience=Patience(answer_seconds=10.0, task_seconds=20.0, news_seconds=1),
        )

    def serve(driver):
        return EstateReconciler("vc1", driver, product.store, wishes=wishes, clock=lambda: product.now)

    attendant = Attendant(
        "vc1",
        connect,
        serve,
        close=lambda driver: driver.close(),
        failed=lambda error: say(product.store, "vc1", findings.failed(MANAGER, error)),
    )
    yield attendant
    attendant.stop()


def said(product):
    return [(c.true, c.reason) for c in product.conditions()]


def settled(product, attendant):
    """Decide and let the agents work until all cards are where they belong, and that is said."""

    def there():
        before = product.store.snapshot().attachments
        product.engine.round((), everything=True)
        product.agents()
        state = product.store.snapshot()
        if state.attachments != before:
            attendant.wake()
        plugged = {port for port, plugged in state.plugged.items() if plugged.card is not None}
        return plugged == set(state.site.ports) and said(product) == [(True, "Driven")]

    wait_until(there, "every card in its place", SECONDS)


def test_a_vcenter_that_dies_before_the_first_login_and_in_the_middle_is_named_and_then_served(
    product, attended
):
    product.want(EVERYBODY)
    product.engine.round((), everything=True)
    product.kill()
    attended.start()
    wait_until(lambda: said(product) == [(False, "Unreachable")], "no login is said", SECONDS)
    product.revive()
    settled(product, attended)

    product.kill()
    product.want([vm for vm in EVERYBODY if vm != "db"])
    product.engine.round((), everything=True)
    attended.wake()
    wait_until(lambda: said(product) == [(False, "Unreachable")], "no answer is said", SECONDS)
    product.revive()
    settled(product, attended)

    def left():
        return [group.name for group in product.control.state().port_groups if group.name.endswith("-db")]

    wait_until(lambda: not left(), "the group of the port that went is gone", SECONDS)
