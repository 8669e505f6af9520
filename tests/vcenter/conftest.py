# SPDX-License-Identifier: Apache-2.0
"""The lab's vCenter under test: a small data centre, and a client that speaks to it as to any vCenter. No root."""

import shutil
import ssl
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from pyVim.connect import Disconnect, SmartConnect
from pyVim.task import WaitForTask
from pyVmomi import vim

from anyvisor.errors import TerminalError
from anyvisor.lab.vcenter import program

HERE = Path(__file__).parent
V = vim.dvs.VmwareDistributedVirtualSwitch
Card = vim.vm.device.VirtualEthernetCard


def inventory(**changes):
    """Two hosts in a cluster, one old one alone; a standard switch with and one without uplink; two distributed switches."""
    return {
        "name": "lab",
        "datacenters": [
            {
                "name": "DC",
                "clusters": [{"name": "C1"}],
                "hosts": [host("esx1", prod=10), host("esx2", prod=20), old()],
                "distributed_switches": [
                    {
                        "name": "inner",
                        "version": "7.0.0",
                        "mtu": 9000,
                        "uplinks": ["unused"],
                        "members": [{"host": "esx1"}, {"host": "esx2"}],
                        "port_groups": [
                            {"name": "tenants", "vlan": 4000, "vlan_override": True, "ports": 4},
                            {
                                "name": "trunk",
                                "trunk": [[1, 4094]],
                                "mac_learning": True,
                                "security": {"forged_transmits": True},
                            },
                            {"name": "owned-by-nsx", "backing": "nsx"},
                        ],
                    },
                    {
                        "name": "outer",
                        "version": "6.5.0",
                        "network_offload": "nvidia-bluefield",
                        "members": [{"host": "esx1", "pnics": ["vmnic1"]}],
                        "port_groups": [{"name": "office", "vlan": 7}],
                    },
                ],
                "opaque_networks": [{"name": "segment", "id": "s-1"}],
                "vms": [
                    vm("web", nics=[{"network": "tenants"}, {"network": "VM Network"}]),
                    vm("db", host="esx2", nics=[{"network": "tenants"}]),
                    vm("lonely", nics=[{"network": "island"}]),
                    vm("fast", nics=[{"network": "VM Network", "type": "sriov"}]),
                    vm("golden", template=True, nics=[{"network": "trunk"}]),
                    vm("bare", power="off", nics=[{}, {"network": "prod", "connected": False}]),
                    vm("twin", host="old1", fault_tolerance=True, nics=[{"network": "segment"}]),
                ],
            }
        ],
        **changes,
    }


def host(name, *, prod, **changes):
    return {
        "name": name,
        "cluster": "C1",
        "licence": "enterprise-plus",
        "pnics": [{"name": "vmnic0"}, {"name": "vmnic1", "mbps": 25000, "sriov_functions": 8}],
        "switches": [
            {
                "name": "vSwitch0",
                "uplinks": ["vmnic0"],
                "port_groups": [{"name": "VM Network"}, {"name": "prod", "vlan": prod}],
            },
            {"name": "av0", "mtu": 9000, "port_groups": [{"name": "island", "vlan": 101}]},
        ],
        **changes,
    }


def old():
    return {"name": "old1", "version": "6.5.0", "licence": "standard", "pnics": [{"name": "vmnic0"}]}


def vm(name, *, host="esx1", **changes):
    return {"name": name, "host": host, **changes}


def esxi(**changes):
    """A lone host without vCenter."""
    lone = {"name": "esx", "pnics": [{"name": "vmnic0"}]}
    machine = {"name": "app", "host": "esx", "nics": [{"network": "VM Network"}]}
    return {"kind": "esxi", "datacenters": [{"name": "ha", "hosts": [lone], "vms": [machine]}], **changes}


class Client:
    """A logged-in client."""

    def __init__(self, running, *, user="admin", password="secret"):
        where = urlsplit(running.url)
        context = ssl.create_default_context(cafile=running.place.certificate)
        self.si = SmartConnect(
            host=where.hostname, port=where.port, user=user, pwd=password, sslContext=context
        )
        self.content = self.si.content
        self.control = running.control

    def close(self):
        Disconnect(self.si)
        self.si._stub.DropConnections()

    def all(self, kind):
        view = self.content.viewManager.CreateContainerView(self.content.rootFolder, [kind], True)
        found = {entity.name: entity for entity in view.view}
        view.Destroy()
        return found

    def one(self, kind, name):
        return self.all(kind)[name]

    def host(self, name):
        return self.one(vim.HostSystem, name)

    def vm(self, name):
        return self.one(vim.VirtualMachine, name)

    def dvs(self, name="inner"):
        return self.one(vim.DistributedVirtualSwitch, name)

    def group(self, name):
        return self.one(vim.dvs.DistributedVirtualPortgroup, name)

    def networking(self, name):
        return self.host(name).configManager.networkSystem

    def done(self, task):
        """Wait for a task; its result, or its fault raised."""
        WaitForTask(task, si=self.si)
        return task.info.result

    def add_group(self, name, *, dvs="inner", **spec):
        spec.setdefault("type", "earlyBinding")
        spec.setdefault("numPorts", 2)
        self.done(
            self.dvs(dvs).AddDVPortgroup_Task(
                [vim.dvs.DistributedVirtualPortgroup.ConfigSpec(name=name, **spec)]
            )
        )
        return self.group(name)

    def reconfigure(self, machine, *changes, **spec):
        changed = [
            vim.vm.device.VirtualDeviceSpec(operation=operation, device=device)
            for operation, device in changes
        ]
        self.done(machine.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=changed, **spec)))

    def plug(self, machine, group, *, number=0):
        """Move a NIC to a distributed port group."""
        card = self.nics(machine)[number]
        card.backing = self.to(group)
        self.reconfigure(machine, ("edit", card))
        return self.nics(machine)[number]

    def state_of(self, name):
        return next(item for item in self.control.state().vms if item.name == name)

    def host_key(self, name):
        return next(item.key for item in self.control.state().hosts if item.name == name)

    @staticmethod
    def nics(machine):
        return [device for device in machine.config.hardware.device if isinstance(device, Card)]

    @staticmethod
    def to(group):
        """The backing of a NIC in a distributed port group."""
        uuid = group.config.distributedVirtualSwitch.uuid
        return Card.DistributedVirtualPortBackingInfo(
            port=vim.dvs.PortConnection(switchUuid=uuid, portgroupKey=group.key)
        )

    @staticmethod
    def vlan(number):
        """A port's setting with nothing but a VLAN."""
        return V.VmwarePortConfigPolicy(vlan=V.VlanIdSpec(inherited=False, vlanId=number))

    @staticmethod
    def eventually(condition, *, seconds=5.0):
        """Wait until it holds; what it says then."""
        deadline = time.monotonic() + seconds
        while not (answer := condition()):
            assert time.monotonic() < deadline, "it did not come about"
            time.sleep(0.02)
        return answer


def pytest_collection_modifyitems(items):
    try:
        program.find()
        missing = None
    except TerminalError as error:
        missing = str(error)
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.vcenter)
            if missing:
                item.add_marker(pytest.mark.skip(reason=missing))


@pytest.fixture
def folder():
    """A folder whose path is short enough for a socket in it."""
    path = Path(tempfile.mkdtemp(prefix="vc-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def world():
    """What inventories are made of."""
    return SimpleNamespace(inventory=inventory, esxi=esxi, host=host, vm=vm, Client=Client)


@pytest.fixture
def start(folder):
    """Start a vCenter, as often as one likes; without an inventory it is the one before, restarted."""
    with ExitStack() as stack:

        def begin(inventory=None, **place):
            return stack.enter_context(program.start(program.Place(folder=folder, **place), inventory))

        yield begin


@pytest.fixture
def running(start):
    """A vCenter with the small data centre, where migrations take a moment."""
    vcenter = start(inventory())
    vcenter.control.set(vmotion_seconds=0.2, ha_seconds=0.1)
    return vcenter


@pytest.fixture
def vc(running):
    """A client of it."""
    client = Client(running)
    yield client
    client.close()
