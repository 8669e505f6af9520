# SPDX-License-Identifier: Apache-2.0
"""What devlink says, in documents as real cards give them, and through a program that stands in for it."""

import json
import sys

import pytest

import anyvisor.testing.devlink as stand_in
from anyvisor.drivers.smartnic.devlink import Devlink, parse_ports
from anyvisor.errors import RetryableError, TerminalError
from anyvisor.model.card import Eswitch, FunctionKind, Representor

CARD = "pci/0000:03:00.0"
BLUEFIELD = {
    "port": {
        f"{CARD}/65535": {"type": "eth", "netdev": "p0", "flavour": "physical", "port": 0},
        f"{CARD}/2": {
            "type": "eth",
            "netdev": "pf0vf1",
            "flavour": "pcivf",
            "controller": 1,
            "pfnum": 0,
            "vfnum": 1,
            "external": True,
            "function": {"hw_addr": "52:54:00:AA:00:01"},
        },
        f"{CARD}/1": {
            "type": "eth",
            "netdev": "pf0vf0",
            "flavour": "pcivf",
            "controller": 1,
            "pfnum": 0,
            "vfnum": 0,
            "function": {"hw_addr": "00:00:00:00:00:00"},
        },
        f"{CARD}/3": {"type": "eth", "netdev": "pf0hpf", "flavour": "pcipf", "controller": 1, "pfnum": 0},
        f"{CARD}/4": {"type": "eth", "netdev": "en3f0pf0sf88", "flavour": "pcisf", "pfnum": 0, "sfnum": 88},
        f"{CARD}/5": {"type": "notset", "flavour": "pcivf", "pfnum": 0, "vfnum": 7},
        "pci/0000:05:00.0/0": {"type": "eth", "netdev": "eno1", "flavour": "physical"},
    }
}
"""As ``devlink -j port show`` has it (netdev mailing list, "devlink: show controller number"); two cards."""


@pytest.fixture
def state(tmp_path):
    path = tmp_path / "cards.json"
    ports = {handle.rpartition("/")[2]: port for handle, port in BLUEFIELD["port"].items() if CARD in handle}
    card = {"driver": "mlx5_core", "serial": "MT1", "mode": "switchdev", "ports": ports}
    path.write_text(json.dumps({CARD: card}))
    return path


@pytest.fixture
def devlink(state):
    return Devlink([sys.executable, "-S", "-E", stand_in.__file__, str(state)])


def told(devlink, *words):
    return devlink._ask(*words)


def test_ports_are_told_apart_by_card_and_flavour():
    found = parse_ports(BLUEFIELD)

    assert found["pci/0000:05:00.0"] == (("eno1",), ())
    physical, representors = found[CARD]
    assert physical == ("p0",)
    assert [(r.device, r.kind, r.number, r.controller, r.mac) for r in representors] == [
        ("en3f0pf0sf88", FunctionKind.SF, 88, 0, None),
        ("pf0hpf", FunctionKind.PF, None, 1, None),
        ("pf0vf0", FunctionKind.VF, 0, 1, None),
        ("pf0vf1", FunctionKind.VF, 1, 1, "52:54:00:aa:00:01"),
    ]


def test_a_function_without_a_device_is_not_there():
    assert "pf0vf7" not in {r.device for r in parse_ports(BLUEFIELD)[CARD][1]}


def test_nothing_is_found_where_there_is_nothing():
    assert parse_ports({}) == {}


def test_the_program_is_asked_for_cards_their_switch_and_their_boards(devlink):
    assert devlink.devices() == (CARD,)
    assert devlink.eswitch(CARD) is Eswitch.SWITCHDEV
    assert devlink.about(CARD) == ("mlx5_core", "MT1")
    assert Representor(device="pf0hpf", kind=FunctionKind.PF, pf=0, controller=1) in devlink.ports()[CARD][1]


def test_a_card_that_is_not_there_has_no_switch_and_no_serial(devlink):
    assert devlink.eswitch("pci/0000:09:00.0") is Eswitch.UNKNOWN
    assert devlink.about("pci/0000:09:00.0") == ("", None)


def test_a_machine_without_the_program_says_so():
    with pytest.raises(TerminalError, match="no-such-devlink"):
        Devlink(["/no-such-devlink"]).devices()


@pytest.mark.parametrize(
    ("does", "error", "said"),
    [
        ("echo Failed to connect to devlink Netlink >&2; exit 1", TerminalError, "Failed to connect"),
        ("echo kernel answers: No buffer space available >&2; exit 1", RetryableError, "No buffer space"),
        ("echo oops", RetryableError, "no JSON"),
    ],
)
def test_a_kernel_without_devlink_is_told_from_a_program_that_fails_now(does, error, said):
    with pytest.raises(error, match=said):
        Devlink(["sh", "-c", does]).devices()


def test_what_the_kernel_refuses_is_said_in_its_words(devlink):
    with pytest.raises(TerminalError, match="No such device"):
        told(devlink, "dev", "info", "pci/0000:09:00.0")


# --- the stand-in itself --------------------------------------------------------------------------------------------


def test_a_card_in_legacy_mode_shows_no_functions(devlink):
    told(devlink, "dev", "eswitch", "set", CARD, "mode", "legacy")

    assert devlink.eswitch(CARD) is Eswitch.LEGACY
    assert devlink.ports()[CARD] == (("p0",), ())


def test_an_address_that_was_given_to_a_function_stays(devlink):
    told(devlink, "port", "function", "set", f"{CARD}/1", "hw_addr", "52:54:00:aa:00:07")

    assert {r.device: r.mac for r in devlink.ports()[CARD][1]}["pf0vf0"] == "52:54:00:aa:00:07"


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (("port", "function", "set", f"{CARD}/65535", "hw_addr", "52:54:00:aa:00:07"), "not supported"),
        (("port", "function", "set", f"{CARD}/99", "hw_addr", "52:54:00:aa:00:07"), "No such device"),
        (("port", "function", "set", f"{CARD}/1", "hw_addr", "52:54"), "Invalid argument"),
        (("dev", "eswitch", "set", CARD, "mode", "magic"), "Invalid argument"),
        (("dev", "eswitch", "set", CARD), "Invalid argument"),
        (("port", "split", f"{CARD}/1"), "not found"),
    ],
)
def test_the_stand_in_refuses_what_the_kernel_refuses(devlink, words, answer):
    with pytest.raises(TerminalError, match=answer):
        told(devlink, *words)
