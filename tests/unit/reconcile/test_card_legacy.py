# SPDX-License-Identifier: Apache-2.0
"""A card that falls back to legacy mode switches past every flow: the host is not ready, its traffic has escaped."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from anyvisor.model.attachment import Attachment
from anyvisor.model.host import Host
from anyvisor.model.kinds import AttachmentKind, Hypervisor, Scheme
from anyvisor.model.names import HostName, Mac, PortName
from anyvisor.model.site import Site
from anyvisor.model.state import HostState, State, Telemetry, VnicReading
from anyvisor.model.vnic import Counters
from anyvisor.reconcile import conditions, findings
from anyvisor.view.coverage import overall_view

HOST, PORT = HostName("kvm1"), PortName("web")
FLEET = SimpleNamespace(schemes={HOST: Scheme.NIC})
KNOWN = HostState(scheme=Scheme.NIC, carried=Scheme.NIC)
READING = VnicReading(
    port=PORT,
    host=HOST,
    kind=AttachmentKind.REPRESENTOR,
    hypervisor=Counters(tx_bytes=5000),
    controlled=Counters(tx_bytes=5000),
    native=Counters(),
    updated=1,
)


def state(*said):
    attachment = Attachment(
        port=PORT, host=HOST, kind=AttachmentKind.REPRESENTOR, mac=Mac("52:54:00:00:00:01"), network="blue"
    )
    return State(
        site=Site(hosts={HOST: Host(name=HOST, hypervisor=Hypervisor.KVM)}),
        hosts={HOST: replace(KNOWN, conditions=said)},
        attachments={PORT: attachment},
    )


@pytest.mark.parametrize(("legacy", "reason"), [(True, "CardLegacy"), (False, "CardIncomplete")])
def test_a_host_whose_card_does_not_switch_is_not_ready(legacy, reason):
    said = findings.card_ready(["pci/1 is in legacy mode: do this"], legacy=legacy)

    found = conditions.of_host(FLEET, state(said), HOST)

    assert (found.true, found.reason, found.message) == (False, reason, "pci/1 is in legacy mode: do this")
    assert conditions.of_host(FLEET, state(findings.card_ready(())), HOST).true


def test_what_was_counted_before_is_not_shown_as_controlled_once_the_card_switches_unseen():
    telemetry = Telemetry(vnics={PORT: READING})
    legacy = findings.card_ready(["pci/1 is in legacy mode"], legacy=True)

    before = overall_view(state(findings.card_ready(())), telemetry, ())
    after = overall_view(state(legacy), telemetry, ())

    assert (before.total.controlled, after.total.controlled, after.total.observed) == (1.0, 0.0, 0.0)
    assert [each.reason for each in after.hosts[0].conditions if each.kind == "Telemetry"] == ["Escapes"]
