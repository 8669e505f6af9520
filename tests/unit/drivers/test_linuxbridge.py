# SPDX-License-Identifier: Apache-2.0
"""Linux bridges where devices vanish between two looks: the kernel has no transactions."""

import pytest

from anyvisor.drivers.linuxbridge import switch as module
from anyvisor.drivers.linuxbridge.aliases import alias_for_bridge
from anyvisor.drivers.linuxbridge.switch import LinuxBridges
from anyvisor.errors import RetryableError
from anyvisor.netlink.links import Link
from anyvisor.planner.segments import SegmentBridge

OWNER = "0f0f"
BRIDGE = SegmentBridge(name="av-inner", uplink="vif1.1", filtering=True, trunk=(2, 3))
MADE = Link(
    index=2, name="av-inner", mac="02:00:00:00:00:02", kind="bridge", alias=alias_for_bridge(BRIDGE, OWNER)
)
TRUNK = Link(index=3, name="vif1.1", mac="02:00:00:00:00:03")


class Links:
    """Says what is there, look by look, and takes down what is changed."""

    def __init__(self, monkeypatch, *, looks_with_trunk):
        self.looks, self.with_trunk, self.changed = 0, looks_with_trunk, []
        monkeypatch.setattr(module, "read_links", self.read)
        monkeypatch.setattr(module.links, "set_master", lambda *them: self.changed.append(them))
        monkeypatch.setattr(module.links, "set_access_vlan", lambda *them, **_: self.changed.append(them))

    def read(self):
        self.looks += 1
        return {link.name: link for link in (MADE, *([TRUNK] if self.looks <= self.with_trunk else ()))}


def shape():
    LinuxBridges(owner=lambda: OWNER).shape([BRIDGE])


def test_a_trunk_that_stays_is_put_into_the_bridge(monkeypatch):
    links = Links(monkeypatch, looks_with_trunk=100)

    shape()

    assert links.changed == [("vif1.1", "av-inner"), ("vif1.1", 2), ("vif1.1", 3)]


@pytest.mark.parametrize("looks", range(3))
def test_a_trunk_that_vanishes_between_two_looks_is_tried_again_later(monkeypatch, looks):
    links = Links(monkeypatch, looks_with_trunk=looks)

    with pytest.raises(RetryableError, match=r"vif1\.1"):
        shape()

    assert links.changed == []
