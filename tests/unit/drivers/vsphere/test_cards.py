# SPDX-License-Identifier: Apache-2.0
"""VMs, cards, tasks and memories, from what vSphere says of them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyVmomi import vim

from anyvisor.drivers.vsphere import cards, memory
from anyvisor.drivers.vsphere.memory import Memory
from anyvisor.drivers.vsphere.records import Place, TaskRecord

OWNER = "8f3a01c2-5f0e-4d7e-9a51-2f6f2f4f9d11"
NIC = vim.vm.device
Card = NIC.VirtualEthernetCard
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def nic(key, backing=None, *, kind=NIC.VirtualVmxnet3, connected=True, starts=True):
    link = NIC.VirtualDevice.ConnectInfo(startConnected=starts, connected=connected, allowGuestControl=True)
    return kind(key=key, macAddress=f"00:50:56:AA:00:{key % 100:02d}", backing=backing, connectable=link)


def port(group="dvportgroup-1", key="7"):
    return Card.DistributedVirtualPortBackingInfo(
        port=vim.dvs.PortConnection(switchUuid="50 0a", portgroupKey=group, portKey=key)
    )


def option(key, value):
    return vim.option.OptionValue(key=key, value=value)


def values(**changes):
    return {
        "name": "web%2f1",
        "runtime.host": vim.HostSystem("host-1", None),
        "runtime.powerState": "poweredOn",
        "config.instanceUuid": "5011",
        "config.template": False,
        "config.hardware.device": [NIC.VirtualDisk(key=2000), nic(4000, port())],
        **changes,
    }


def test_a_vm_is_read():
    record = cards.vm_record("vm-1", values(), OWNER)

    assert (record.name, record.host, record.running, record.template) == ("web/1", "host-1", True, False)
    (card,) = record.cards
    assert (card.key, card.mac, card.connected, card.passthrough) == (
        "4000",
        "00:50:56:aa:00:00",
        True,
        False,
    )
    assert card.place == Place(switch="50 0a", group="dvportgroup-1", port="7")
    assert (record.appliance, record.fault_tolerant, record.booting) == (None, False, False)


@pytest.mark.parametrize("missing", ["config.instanceUuid", "runtime.host"])
def test_a_vm_that_is_being_made_is_not_shown_yet(missing):
    told = values()
    del told[missing]

    assert cards.vm_record("vm-1", told, OWNER) is None


@pytest.mark.parametrize(
    ("backing", "place"),
    [
        (Card.NetworkBackingInfo(deviceName="VM%2fNetwork"), Place(network="VM/Network")),
        (Card.OpaqueNetworkBackingInfo(opaqueNetworkId="s-1"), Place(network="s-1", opaque=True)),
        (port(key=None), Place(switch="50 0a", group="dvportgroup-1")),
        (NIC.VirtualDevice.RemoteDeviceBackingInfo(), None),
        (None, None),
    ],
)
def test_a_place_is_read_from_its_backing(backing, place):
    assert cards.place_of(backing) == place


@pytest.mark.parametrize(("running", "expected"), [("poweredOn", False), ("poweredOff", True)])
def test_of_a_vm_that_is_off_counts_whether_a_card_will_be_connected(running, expected):
    told = values(**{"config.hardware.device": [nic(4000, connected=False)], "runtime.powerState": running})

    assert cards.vm_record("vm-1", told, OWNER).cards[0].connected is expected


def test_a_virtual_function_bypasses_the_switch():
    told = values(**{"config.hardware.device": [nic(4000, port(), kind=NIC.VirtualSriovEthernetCard)]})

    assert cards.vm_record("vm-1", told, OWNER).cards[0].passthrough


@pytest.mark.parametrize(("owner", "expected"), [(OWNER, "esx1/1"), ("another", None)])
def test_an_appliance_says_whose_it_is(owner, expected):
    told = values(
        **{"config.extraConfig": [option("anyvisor.owner", owner), option("anyvisor.key", "esx1/1")]}
    )

    assert cards.vm_record("vm-1", told, OWNER).appliance == expected


def test_memory_that_is_locked_is_reserved_whole():
    allocation = vim.ResourceAllocationInfo(reservation=100)
    told = values(**{"config.memoryAllocation": allocation, "config.hardware.memoryMB": 4096})
    assert cards.vm_record("vm-1", told, OWNER).memory_mib == 100

    told["config.memoryReservationLockedToMax"] = True
    assert cards.vm_record("vm-1", told, OWNER).memory_mib == 4096


@pytest.mark.parametrize(
    ("installed", "running", "booting"),
    [
        ("guestToolsUnmanaged", "guestToolsNotRunning", True),
        ("guestToolsUnmanaged", "guestToolsRunning", False),
        ("guestToolsNotInstalled", "guestToolsNotRunning", False),
        (None, None, False),
    ],
)
def test_a_guest_that_has_tools_is_up_when_they_are(installed, running, booting):
    told = values(**{"guest.toolsVersionStatus2": installed, "guest.toolsRunningStatus": running})

    assert cards.vm_record("vm-1", told, OWNER).booting is booting


@pytest.mark.parametrize(
    ("description", "state", "expected"),
    [
        ("VirtualMachine.migrate", "running", (True, True)),
        ("VirtualMachine.relocate", "queued", (True, True)),
        ("Drm.ExecuteVMotionLRO", "success", (True, False)),
        ("VirtualMachine.reconfigure", "running", (False, True)),
        (None, None, (False, False)),
    ],
)
def test_a_task_may_be_a_migration(description, state, expected):
    record = cards.task_record("task-1", {"info.descriptionId": description, "info.state": state})

    assert (record.migrates, record.running) == expected


def departure(key, host, *, chain=0, after=0):
    argument = vim.event.HostEventArgument(name=host, host=vim.HostSystem(host, None))
    created = NOW + timedelta(seconds=after)
    return vim.event.VmBeingMigratedEvent(key=key, chainId=chain, createdTime=created, destHost=argument)


def migration(chain=0):
    return TaskRecord(key="task-1", migrates=True, running=True, chain=chain, since=NOW)


def test_a_migration_leads_where_its_own_event_says():
    events = [
        departure(1, "host-1", chain=7),
        departure(2, "host-2", chain=9),
        departure(3, "host-3", chain=8),
    ]

    assert cards.destination(events, migration(chain=9)) == "host-2"


def test_without_a_chain_what_was_said_since_it_began_counts():
    events = [departure(1, "host-1", after=-60), departure(2, "host-2", after=1)]

    assert cards.destination(events, migration()) == "host-2"
    assert cards.destination(events[:1], migration()) is None
    assert cards.destination([vim.event.VmPoweredOnEvent(key=5, createdTime=NOW)], migration()) is None


places = st.one_of(
    st.none(),
    st.builds(Place, network=st.text(min_size=1)),
    st.builds(Place, switch=st.text(min_size=1), group=st.text(min_size=1)),
)


@given(places, st.booleans(), st.booleans(), st.booleans())
def test_a_memory_is_read_as_it_was_written(place, homeless, connected, starts):
    written = Memory(
        place=place, homeless=homeless, connected=connected or not homeless, starts=starts or not homeless
    )

    line = memory.write(written)

    assert memory.read(line) == written
    assert cards.is_homeless(line) is homeless


@pytest.mark.parametrize("line", [None, "", "{", "[]", "7"])
def test_what_is_no_memory_is_none(line):
    assert memory.read(line) is None
    assert not cards.is_homeless(line)


def test_a_port_is_not_remembered():
    assert memory.of(port()).place == Place(switch="50 0a", group="dvportgroup-1")
    assert memory.of(None) == Memory(place=None)
