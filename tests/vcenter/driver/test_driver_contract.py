# SPDX-License-Identifier: Apache-2.0
"""The vSphere driver passes the contract of every driver of a manager."""

import pytest

from anyvisor.model.names import SwitchName
from anyvisor.testing.estate_contract import EstateContract, EstateSample


@pytest.fixture
def sample(estate, running, machines, vc, drop_rule):
    def move(name, to):
        running.control.vm(name, move_to=to)
        machines.settled(name, host=to)

    return EstateSample(
        hosts=("esx1", "esx2"),
        card=machines.card("web"),
        other=machines.card("db"),
        passthrough=machines.card("fast"),
        foreign_switch=SwitchName("dvs"),
        foreign_group="office",
        template="golden",
        networks={"management": "VM Network", "tunnel": "office"},
        move=move,
        power_off=lambda name: running.control.vm(name, power="dies"),
        unpin=lambda _: drop_rule(vc, "C1", "av-8f3a01c2-esx1-pin"),
    )


@pytest.fixture
def driver(estate):
    return estate


class TestContract(EstateContract):
    pass
