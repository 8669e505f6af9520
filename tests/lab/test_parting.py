# SPDX-License-Identifier: Apache-2.0
"""The inner switch of a Xen host's appliance against the kernel, in a namespace of its own."""

import pytest

from anyvisor.codec.appliance_network import card_macs
from anyvisor.drivers.linuxbridge.switch import LinuxBridges
from anyvisor.model.attachment import Attachment
from anyvisor.model.host import Host
from anyvisor.model.kinds import AttachmentKind, Hypervisor
from anyvisor.model.names import HostName, Mac, NetworkName, PortName
from anyvisor.model.state import Plugged, State
from anyvisor.model.vnic import Vnic
from anyvisor.netlink.links import can_filter_vlans, read_links
from anyvisor.netlink.surroundings import Surroundings
from anyvisor.planner.inner import inner_place
from anyvisor.planner.plugs import pair_names
from anyvisor.reconcile.parting import Parting
from anyvisor.testing.hypervisor import FakeHypervisor
from anyvisor.testing.namespace import inside, ip, namespace

pytestmark = pytest.mark.lab

OWNER, HOST, WEB = "0f0f", HostName("xen1"), PortName("web")
MAC = Mac("52:54:00:00:00:01")
XEN = Host(name=HOST, hypervisor=Hypervisor.XEN, version="4.17")
INNER = inner_place(XEN, OWNER).switch
BEHIND = Attachment(
    port=WEB, host=HOST, kind=AttachmentKind.VLAN_ACCESS, network=NetworkName("web"), mac=MAC, vlan=101
)


@pytest.fixture
def parting():
    """A dom0 whose script has put a guest's vif, and one of nobody's, into its bridge."""
    hypervisor = FakeHypervisor()
    with namespace() as far, namespace() as host, inside(host):
        ip("link", "add", "xenbr0", "type", "bridge")
        for device in ("vif1.0", "vif7.0", "vif9.1"):
            ip("link", "add", device, "type", "veth", "peer", "name", f"far-{device}", "netns", far)
        for device in ("vif1.0", "vif7.0"):
            ip("link", "set", device, "master", "xenbr0")
        hypervisor.start(
            HOST,
            Vnic(mac=MAC, device="vif1.0", vm="web1"),
            Vnic(mac=card_macs(OWNER, HOST, 1)["trunk"], device="vif9.1"),
        )
        yield Parting(LinuxBridges(owner=lambda: OWNER), hypervisor, Surroundings())


def masters():
    return {name: link.master for name, link in read_links().items() if name.startswith("vif")}


def test_a_vif_leaves_the_bridge_of_dom0_before_its_way_is_laid(parting):
    parting.carry_out(State(owner=OWNER), XEN, [BEHIND])

    assert (masters()["vif1.0"], masters()["vif7.0"]) == (None, "xenbr0")


def test_once_its_way_is_laid_it_is_let_in_if_the_kernel_can_keep_it_apart(parting):
    laid = State(owner=OWNER, plugged={WEB: Plugged(device=pair_names(WEB)[0])})

    done = parting.carry_out(laid, XEN, [BEHIND])

    if can_filter_vlans():
        assert masters() == {"vif1.0": INNER, "vif7.0": "xenbr0", "vif9.1": INNER}
        assert (done.vlans, done.problems) == ({101}, ())
    else:
        assert masters() == {"vif1.0": None, "vif7.0": "xenbr0", "vif9.1": None}
        assert "do not filter" in done.problems[0]
