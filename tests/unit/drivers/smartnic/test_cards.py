# SPDX-License-Identifier: Apache-2.0
"""Cards put together from devlink, sysfs and what was set at the physical function."""

import pytest

from anyvisor.drivers.smartnic import port_name, sysfs
from anyvisor.drivers.smartnic.cards import Cards
from anyvisor.drivers.smartnic.hypervisor import SmartNicHypervisor
from anyvisor.errors import RetryableError, TerminalError
from anyvisor.model.card import Eswitch, FunctionKind, Representor
from anyvisor.model.names import HostName, Mac
from anyvisor.model.vnic import Vnic

HOST = HostName("kvm1")
CARD = "pci/0000:03:00.0"


def vf(number, *, controller=0, mac=None, pf=0):
    device = f"pf{pf}vf{number}"
    kind = FunctionKind.VF
    return Representor(device=device, kind=kind, pf=pf, number=number, controller=controller, mac=mac)


class Kernel:
    """Devlink as it would answer, and how often it was asked for what never changes."""

    def __init__(self, ports=None, mode=Eswitch.SWITCHDEV, serial="MT1"):
        self.shown, self.mode, self.serial = ports or {}, mode, serial
        self.asked = 0
        self.failure = None

    def devices(self):
        return tuple(self.shown)

    def ports(self):
        if self.failure is not None:
            raise self.failure
        return self.shown

    def about(self, device):
        self.asked += 1
        return "mlx5_core", self.serial

    def eswitch(self, device):
        return self.mode


@pytest.fixture
def tree(tmp_path):
    def device(name, switch=None, port=None, driver=None):
        folder = tmp_path / "class/net" / name
        folder.mkdir(parents=True)
        if switch:
            (folder / "phys_switch_id").write_text(f"{switch}\n")
        if port:
            (folder / "phys_port_name").write_text(f"{port}\n")
        if driver:
            (tmp_path / "drivers" / driver).mkdir(parents=True, exist_ok=True)
            (folder / "device").mkdir()
            (folder / "device/driver").symlink_to(tmp_path / "drivers" / driver)

    device.root = tmp_path
    return device


def test_a_card_comes_with_its_serial_and_its_functions():
    kernel = Kernel({CARD: (("p0",), (vf(0, controller=1, mac=Mac("52:54:00:00:00:01")),))})

    (card,) = Cards(kernel).read()

    assert (card.address, card.driver, card.serial, card.eswitch) == (
        CARD,
        "mlx5_core",
        "MT1",
        Eswitch.SWITCHDEV,
    )
    assert [each.device for each in card.functions] == ["pf0vf0"]


def test_what_never_changes_is_asked_for_once_and_again_for_a_card_that_was_away():
    kernel = Kernel({CARD: (("p0",), (vf(0),))})
    cards = Cards(kernel)
    cards.read()
    cards.read()
    assert kernel.asked == 1

    kernel.shown = {}
    cards.read()
    kernel.shown = {CARD: (("p0",), (vf(0),))}
    cards.read()

    assert kernel.asked == 2


def test_a_plain_card_with_a_devlink_instance_is_no_card_that_switches():
    kernel = Kernel({CARD: (("eno1",), ())}, mode=Eswitch.UNKNOWN)

    assert Cards(kernel).read() == ()


def test_a_card_in_legacy_mode_is_shown_so_that_somebody_can_be_told():
    (card,) = Cards(Kernel({CARD: (("p0",), ())}, mode=Eswitch.LEGACY)).read()

    assert card.eswitch is Eswitch.LEGACY


def test_where_devlink_knows_no_address_the_physical_function_is_asked():
    kernel = Kernel({CARD: (("p0",), (vf(0), vf(1), vf(2, controller=1)))})
    told = {"p0": {0: Mac("52:54:00:00:00:01"), 2: Mac("52:54:00:00:00:03")}}

    (card,) = Cards(kernel, macs=lambda device: told[device]).read()

    # The third is another machine's: a physical function of this one says nothing of it.
    assert [each.mac for each in card.functions] == ["52:54:00:00:00:01", None, None]


def test_of_a_card_with_two_cables_each_physical_function_is_asked_for_its_own():
    kernel = Kernel({CARD: (("p0", "p1"), (vf(0), vf(0, pf=1)))})
    told = {"p0": {0: Mac("52:54:00:00:00:01")}, "p1": {0: Mac("52:54:00:00:00:02")}}

    (card,) = Cards(kernel, macs=lambda device: told[device]).read()

    assert {each.device: each.mac for each in card.functions} == {
        "pf0vf0": "52:54:00:00:00:01",
        "pf1vf0": "52:54:00:00:00:02",
    }


def test_without_devlink_sysfs_tells(tree):
    tree("p0", "aa01", "p0", driver="nfp")
    tree("rep1", "aa01", "pf0vf1")
    tree("rep0", "aa01", "c1pf0vf0")
    tree("eno1")
    tree("bond0", None, "p1")
    kernel = Kernel()
    kernel.failure = TerminalError("no devlink here")

    (card,) = Cards(kernel, root=tree.root).read()

    assert (card.address, card.driver, card.ports, card.eswitch) == (
        "switch/aa01",
        "nfp",
        ("p0",),
        Eswitch.SWITCHDEV,
    )
    assert [(each.device, each.controller) for each in card.functions] == [("rep1", 0), ("rep0", 1)]


def test_a_card_of_which_devlink_told_is_never_read_from_sysfs_which_knows_no_addresses(tree):
    tree("pf0vf0", "aa01", "c1pf0vf0")
    given = (vf(0, controller=1, mac=Mac("52:54:00:00:00:01")),)
    kernel = Kernel({CARD: (("p0",), given)})
    cards = Cards(kernel, root=tree.root)
    cards.read()

    kernel.failure = TerminalError("devlink: No such file or directory")
    with pytest.raises(RetryableError, match="No such file"):
        cards.read()

    kernel.failure = None
    (card,) = cards.read()
    assert card.functions[0].mac == "52:54:00:00:00:01"


def test_a_card_in_legacy_mode_is_not_counted_twice_because_its_port_has_a_switch(tree):
    """As the kernel's simulated card does it."""
    tree("eni7np1", "bb02", "p1", driver="netdevsim")
    kernel = Kernel({"netdevsim/netdevsim7": (("eni7np1",), ())}, mode=Eswitch.LEGACY)

    (card,) = Cards(kernel, root=tree.root).read()

    assert card.address == "netdevsim/netdevsim7"


def test_a_machine_without_such_devices_has_no_cards(tmp_path):
    assert sysfs.cards(tmp_path) == ()
    assert sysfs.driver_of("eth0", tmp_path) == ""


@pytest.mark.parametrize(
    ("name", "kind", "pf", "number", "controller"),
    [
        ("pf0vf3", FunctionKind.VF, 0, 3, 0),
        ("c1pf2vf12", FunctionKind.VF, 2, 12, 1),
        ("pf1", FunctionKind.PF, 1, None, 0),
        ("c1pf0", FunctionKind.PF, 0, None, 1),
        ("pf0sf88", FunctionKind.SF, 0, 88, 0),
    ],
)
def test_names_of_ports_are_read_as_the_kernel_gives_them(name, kind, pf, number, controller):
    found = port_name.representor("dev", name)

    assert (found.kind, found.pf, found.number, found.controller) == (kind, pf, number, controller)
    assert not port_name.is_physical(name)


@pytest.mark.parametrize("name", ["p0", "p12", "p0s1"])
def test_ports_with_a_cable_are_no_functions(name):
    assert port_name.is_physical(name)
    assert port_name.representor("dev", name) is None


def test_the_vnics_of_a_host_are_the_functions_that_have_an_address():
    kernel = Kernel({CARD: (("p0",), (vf(0, controller=1, mac=Mac("52:54:00:00:00:01")), vf(1)))})
    card = SmartNicHypervisor(HOST, Cards(kernel))

    assert card.vnics(HOST) == (Vnic(mac=Mac("52:54:00:00:00:01"), device="pf0vf0"),)
    assert card.vnics(HostName("another")) == ()
    assert card.hosts() == {}


def test_a_kernel_that_does_not_answer_is_no_host_without_vnics():
    kernel = Kernel()
    kernel.failure = RetryableError("devlink does not end")

    with pytest.raises(RetryableError):
        SmartNicHypervisor(HOST, Cards(kernel)).vnics(HOST)
