# SPDX-License-Identifier: Apache-2.0
"""The shipped fakes pass what the real switches must pass."""

from dataclasses import replace

import pytest

from anyvisor.model.attachment import Plug
from anyvisor.model.names import PortName
from anyvisor.testing.switch import FakeLinuxBridges, FakeOpenvSwitch, FakeSwitch
from anyvisor.testing.switch_contract import SwitchContract


class TestFakeSwitch(SwitchContract):
    @pytest.fixture(params=["plain", "ovs", "linux"])
    def driver(self, request):
        foreign = {"theirs": "br-x"}
        if request.param == "linux":
            return FakeLinuxBridges(natives={"br-int": "eth0"}, foreign=foreign)
        if request.param == "ovs":
            switch = FakeOpenvSwitch(owner="a", foreign=foreign)
            switch.known_bridges.add("br-int")
            return switch
        return FakeSwitch(bridges=["br-int"], foreign=foreign)

    @pytest.fixture
    def one(self):
        return Plug(port=PortName("vm1"), device="tap1", bridge="br-int", iface_id="vm1")

    @pytest.fixture
    def two(self):
        return Plug(port=PortName("vm2"), device="tap2", bridge="br-int", iface_id="vm2")

    @pytest.fixture
    def foreign(self, one):
        return replace(one, device="theirs")
