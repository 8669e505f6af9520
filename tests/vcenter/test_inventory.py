# SPDX-License-Identifier: Apache-2.0
"""What a client finds: the inventory, in the types and with the properties of the real one."""

from contextlib import suppress

import pytest
from pyVmomi import vim, vmodl

from anyvisor.errors import TerminalError


def test_every_property_of_every_object_can_be_read(vc):
    content = vc.content
    managers = [
        content.propertyCollector, content.eventManager, content.taskManager, content.perfManager, content.sessionManager,
        content.authorizationManager, content.licenseManager, content.extensionManager, content.setting, content.dvSwitchManager,
    ]  # fmt: skip
    hosts = [host.configManager for host in vc.all(vim.HostSystem).values()]
    below = [
        manager
        for host in hosts
        for manager in (host.networkSystem, host.autoStartManager, host.advancedOption)
    ]

    for thing in [*vc.all(vim.ManagedEntity).values(), *managers, *below]:
        for name in thing._GetPropertyList():
            with suppress(vmodl.fault.MethodNotFound):  # pyVmomi's own word: newer than the API spoken
                getattr(thing, name.name)

    assert content.sessionManager.currentSession.userName == "admin"


def test_a_property_that_is_not_set_is_neither_there_nor_an_error(vc):
    collector = vc.content.propertyCollector
    spec = vmodl.query.PropertyCollector.FilterSpec(
        objectSet=[vmodl.query.PropertyCollector.ObjectSpec(obj=vc.vm("web"))],
        propSet=[
            vmodl.query.PropertyCollector.PropertySpec(
                type=vim.VirtualMachine, pathSet=["name", "snapshot", "config.nonsense"]
            )
        ],
    )

    (answer,) = collector.RetrievePropertiesEx(
        [spec], vmodl.query.PropertyCollector.RetrieveOptions()
    ).objects

    assert [p.name for p in answer.propSet] == ["name"]
    assert [p.path for p in answer.missingSet] == ["config.nonsense"]


@pytest.mark.parametrize("version", ["6.5", "6.7", "7.0.0.0", "8.0.1.0"])
def test_speaks_the_version_it_is_told_to(start, world, version):
    client = world.Client(start(world.inventory(api_version=version)))

    assert (
        client.si._stub.version == "vim.version.v" + version.replace(".", "_")
        or version in client.si._stub.versionId
    )
    assert client.content.about.apiVersion == version
    assert client.content.about.apiType == "VirtualCenter"
    assert (client.group("trunk").config.defaultPortConfig.macManagementPolicy is None) == (version == "6.5")
    client.close()


def test_hosts_are_as_the_inventory_says(vc):
    esx1, old1 = vc.host("esx1"), vc.host("old1")
    sriov = [info for info in esx1.config.pciPassthruInfo if isinstance(info, vim.host.SriovInfo)]

    assert (esx1.config.product.version, old1.config.product.version) == ("8.0.3", "6.5.0")
    assert [(nic.device, nic.linkSpeed.speedMb) for nic in esx1.config.network.pnic] == [
        ("vmnic0", 10000),
        ("vmnic1", 25000),
    ]
    assert [info.numVirtualFunction for info in sriov] == [8]
    assert isinstance(esx1.parent, vim.ClusterComputeResource)
    assert not isinstance(old1.parent, vim.ClusterComputeResource)
    assert {ds.name for ds in esx1.datastore} == {"shared", "local-esx1"}


def test_licences_tell_who_may_have_distributed_switches(vc):
    manager = vc.content.licenseManager.licenseAssignmentManager
    assigned = {item.entityDisplayName: item.assignedLicense for item in manager.QueryAssignedLicenses()}

    features = {name: [p.value.key for p in licence.properties] for name, licence in assigned.items()}
    assert "dvs" in features["esx1"]
    assert "dvs" not in features["old1"]
    assert assigned["old1"].name == "VMware vSphere Standard"


def test_networks_are_those_of_each_host(vc):
    esx1, esx2 = vc.host("esx1"), vc.host("esx2")

    assert {n.name for n in esx1.network} >= {
        "VM Network",
        "prod",
        "island",
        "tenants",
        "trunk",
        "office",
        "segment",
    }
    assert "office" not in {n.name for n in esx2.network}
    assert {h.name for h in vc.group("tenants").host} == {"esx1", "esx2"}
    assert {h.name for h in vc.one(vim.Network, "prod").host} == {"esx1", "esx2"}
    assert vc.group("owned-by-nsx").config.backingType == "nsx"
    assert isinstance(vc.one(vim.Network, "segment"), vim.OpaqueNetwork)
    assert vc.dvs("outer").config.networkOffloadSpecId == "nvidia-bluefield"


def test_virtual_machines_have_addresses_of_their_own(vc):
    machines = vc.all(vim.VirtualMachine)
    addresses = [nic.macAddress for machine in machines.values() for nic in vc.nics(machine)]

    assert len(addresses) == len(set(addresses)) == 9
    assert all(address.startswith("00:50:56:8") for address in addresses)
    assert isinstance(vc.nics(machines["fast"])[0], vim.vm.device.VirtualSriovEthernetCard)
    assert vc.nics(machines["bare"])[0].backing is None
    assert machines["golden"].config.template
    assert machines["twin"].config.ftInfo.role == 1
    assert (machines["web"].runtime.powerState, machines["bare"].runtime.powerState) == (
        "poweredOn",
        "poweredOff",
    )
    assert {machine.name for machine in vc.host("esx2").vm} == {"db"}
    assert {machine.name for machine in vc.group("tenants").vm} == {"web", "db"}


def test_a_bad_inventory_is_refused_with_the_place_of_its_fault(start, world):
    bad = world.inventory()
    bad["datacenters"][0]["vms"][1]["host"] = "nowhere"

    with pytest.raises(TerminalError, match=r"datacenters\[0\].vms\[1\].host: there is no \"nowhere\""):
        start(bad)


def test_a_user_who_may_not_is_told_which_right_is_missing(start, world):
    client = world.Client(start(world.inventory(user={"denied": ["DVSwitch.PortConfig"]})))
    me = client.content.sessionManager.currentSession
    (answer,) = client.content.authorizationManager.HasPrivilegeOnEntities(
        [client.dvs()], me.key, ["DVSwitch.Modify", "DVSwitch.PortConfig"]
    )
    (other,) = client.content.authorizationManager.HasUserPrivilegeOnEntities(
        [client.dvs()], me.userName, ["DVSwitch.PortConfig"]
    )

    assert [p.isGranted for p in answer.privAvailability] == [True, False]
    assert [p.isGranted for p in other.privAvailability] == [False]
    with pytest.raises(vim.fault.NoPermission) as refused:
        client.dvs().ReconfigureDVPort_Task(
            [vim.dvs.DistributedVirtualPort.ConfigSpec(operation="edit", key="2")]
        )
    assert refused.value.privilegeId == "DVSwitch.PortConfig"
    client.close()


def test_a_lone_esxi_host_has_no_distributed_switches(start, world):
    client = world.Client(start(world.esxi()))
    system = client.networking("esx")

    system.AddVirtualSwitch("av0", vim.host.VirtualSwitch.Specification(numPorts=128))

    assert client.content.about.apiType == "HostAgent"
    folder = client.content.rootFolder.childEntity[0].networkFolder
    spec = vim.DistributedVirtualSwitch.ConfigSpec(name="x")
    with pytest.raises(vmodl.fault.NotSupported):
        folder.CreateDVS_Task(vim.DistributedVirtualSwitch.CreateSpec(configSpec=spec))
    assert [s.name for s in system.networkInfo.vswitch] == ["vSwitch0", "av0"]
    assert client.nics(client.vm("app"))[0].addressType == "generated"
    client.close()


def test_a_free_esxi_host_reads_and_writes_nothing(start, world):
    client = world.Client(start(world.esxi(edition="free")))

    with pytest.raises(vim.fault.RestrictedVersion):
        client.networking("esx").AddVirtualSwitch("av0", vim.host.VirtualSwitch.Specification(numPorts=128))
    with pytest.raises(vim.fault.RestrictedVersion):
        client.vm("app").PowerOffVM_Task()
    assert client.vm("app").runtime.powerState == "poweredOn"
    assert [licence.editionKey for licence in client.content.licenseManager.licenses] == ["esxBasic"]
    client.close()


def test_only_the_one_account_gets_in(start, world, monkeypatch):
    monkeypatch.setenv("LAB_PASSWORD", "right")
    vcenter = start(world.inventory(), user="svc", password_variable="LAB_PASSWORD")

    for user, password in [("svc", "wrong"), ("admin", "right")]:
        with pytest.raises(vim.fault.InvalidLogin):
            world.Client(vcenter, user=user, password=password)
    world.Client(vcenter, user="svc", password="right").close()
