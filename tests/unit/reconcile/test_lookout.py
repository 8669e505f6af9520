# SPDX-License-Identifier: Apache-2.0
"""What an agent tells of VMs whose ports are attached elsewhere."""

from anyvisor.model.attachment import Attachment
from anyvisor.model.kinds import AttachmentKind
from anyvisor.model.sighting import Sighting
from anyvisor.model.vnic import Vnic
from anyvisor.reconcile.lookout import sighted
from anyvisor.testing.hypervisor import FakeHypervisor

OURS, THEIRS, NEW = "00:16:3e:00:00:01", "00:16:3e:00:00:02", "00:16:3e:00:00:03"
MINE = Attachment(port="p1", host="xen1", kind=AttachmentKind.VIF, network="web", mac=OURS)


def test_what_is_attached_here_is_not_told_and_all_else_is_in_a_fixed_order():
    xen = FakeHypervisor()
    xen.start("xen1", Vnic(mac=THEIRS, vm="web2"), Vnic(mac=OURS, vm="web1", device="vif1.0"), Vnic(mac=NEW))

    assert sighted(xen, "xen1", [MINE]) == (Sighting(mac=NEW), Sighting(vm="web2", mac=THEIRS))


def test_a_vm_on_its_way_is_told_by_name_until_its_vnics_are_there():
    xen = FakeHypervisor()
    xen.received["xen1"] = frozenset({"web2"})
    assert sighted(xen, "xen1", [MINE]) == (Sighting(vm="web2", arriving=True),)

    xen.start("xen1", Vnic(mac=THEIRS, vm="web2", arriving=True))

    assert sighted(xen, "xen1", [MINE]) == (Sighting(vm="web2", mac=THEIRS, arriving=True),)
