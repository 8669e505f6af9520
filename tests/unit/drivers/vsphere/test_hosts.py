# SPDX-License-Identifier: Apache-2.0
"""Hosts and licences, from what vSphere says of them."""

import pytest
from pyVmomi import vim

from anyvisor.drivers.vsphere import hosts
from anyvisor.drivers.vsphere.records import CardRecord, HostRecord, Licence, StandardGroup, VmRecord
from anyvisor.model.host import Nic


def pnic(device, mbps=None, **more):
    speed = None if mbps is None else vim.host.PhysicalNic.LinkSpeedDuplex(speedMb=mbps, duplex=True)
    return vim.host.PhysicalNic(key=f"key-{device}", device=device, linkSpeed=speed, **more)


def host_group(name, vlan=0, *, promiscuous=None, inherited=False):
    security = vim.host.NetworkPolicy.SecurityPolicy(allowPromiscuous=promiscuous)
    computed = vim.host.NetworkPolicy.SecurityPolicy(allowPromiscuous=inherited, forgedTransmits=True)
    return vim.host.PortGroup(
        spec=vim.host.PortGroup.Specification(
            name=name, vlanId=vlan, vswitchName="vSwitch0", policy=vim.host.NetworkPolicy(security=security)
        ),
        computedPolicy=vim.host.NetworkPolicy(security=computed),
    )


VALUES = {
    "name": "esx1.example",
    "parent": vim.ClusterComputeResource("domain-c1", None),
    "config.product": vim.AboutInfo(version="8.0.3"),
    "config.network.pnic": [
        pnic("vmnic0", 25000, pci="0000:01:00.0"),
        pnic("vmnic1", pci="0000:02:00.0"),
        pnic("vmnic2", 100000, pci="0000:03:00.0", dpuId="dpu-7"),
    ],
    "config.network.vswitch": [
        vim.host.VirtualSwitch(name="vSwitch0", mtu=1500, pnic=["key-vmnic1", "key-vmnic0"]),
        vim.host.VirtualSwitch(name="av-8f3a01c2", mtu=9000),
    ],
    "config.network.portgroup": [
        host_group("VM Network", inherited=True),
        host_group("shut", 5, promiscuous=False, inherited=True),
    ],
    "config.pciPassthruInfo": [
        vim.host.SriovInfo(id="0000:01:00.0", sriovEnabled=True, numVirtualFunction=8),
        vim.host.SriovInfo(id="0000:02:00.0", sriovEnabled=False, numVirtualFunction=4),
        vim.host.PciPassthruInfo(id="0000:03:00.0"),
    ],
    "summary.hardware": vim.host.Summary.HardwareSummary(cpuMhz=2000, numCpuCores=16, memorySize=64 << 30),
    "runtime.connectionState": "connected",
    "runtime.inMaintenanceMode": False,
    "configManager.networkSystem": vim.host.NetworkSystem("networkSystem-1", None),
}


def test_a_host_is_read():
    record = hosts.host_record("host-1", VALUES)

    assert (record.name, record.parent, record.version) == ("esx1.example", "domain-c1", "8.0.3")
    assert record.answers
    assert record.nics == (
        Nic(name="vmnic0", speed_gbps=25.0, sriov_vfs=8),
        Nic(name="vmnic1"),
        Nic(name="vmnic2", speed_gbps=100.0, dpu="dpu-7"),
    )
    assert record.switches["vSwitch0"].uplinks == ("vmnic0", "vmnic1")
    assert record.switches["av-8f3a01c2"].uplinks == ()
    assert record.groups["VM Network"] == StandardGroup(
        name="VM Network", switch="vSwitch0", vlan=0, promiscuous=True, forged_transmits=True
    )
    assert record.groups["shut"].promiscuous is False
    assert (record.cpu_mhz, record.core_mhz, record.memory_mib) == (32000, 2000, 65536)
    assert (record.network_system, record.autostart) == ("networkSystem-1", None)


def test_a_host_of_whom_little_is_known_is_read_too():
    record = hosts.host_record("host-1", {"name": "esx1"})

    assert (record.name, record.version, record.answers) == ("esx1", "", False)
    assert hosts.load_facts(record, []) == {"fault_tolerance": False, "passthrough_vnics": 0}


def test_names_are_as_people_gave_them():
    assert hosts.plain("a%2fb%25c%5cd") == "a/b%c\\d"
    assert hosts.plain(None) == ""


def card(**more):
    return CardRecord(
        **{"key": "4000", "mac": "", "connected": True, "passthrough": False, "place": None, **more}
    )


def vm(key, **more):
    return VmRecord(
        **{
            "key": key,
            "uuid": key,
            "name": key,
            "host": "h",
            "running": True,
            "template": False,
            "answers": True,
            **more,
        }
    )


def test_what_is_spare_is_what_running_vms_did_not_reserve():
    host = HostRecord(
        key="h",
        name="h",
        parent="",
        version="",
        connection="connected",
        maintenance=False,
        cpu_mhz=16000,
        core_mhz=2000,
        memory_mib=16384,
    )
    vms = [
        vm("a", cpu_mhz=3000, memory_mib=2048, cards=(card(), card(passthrough=True))),
        vm("b", cpu_mhz=9000, memory_mib=9000, running=False, fault_tolerant=True),
        vm("golden", cpu_mhz=9000, template=True, cards=(card(passthrough=True),)),
    ]

    assert hosts.load_facts(host, vms) == {
        "fault_tolerance": True,
        "passthrough_vnics": 1,
        "spare_vcpus": 6,
        "spare_memory_gib": 14.0,
    }
    assert hosts.load_facts(host, [vm("c", cpu_mhz=99000, memory_mib=99000)])["spare_vcpus"] == 0


def licence(edition, *features):
    properties = [
        vim.KeyAnyValue(key="feature", value=vim.KeyValue(key=name, value=name)) for name in features
    ]
    return vim.LicenseManager.LicenseInfo(editionKey=edition, name="", properties=properties)


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        (
            licence("esx.enterprisePlus.cpuPackageCoreLimited", "dvs", "drs"),
            Licence(edition="enterprise-plus", distributed=True),
        ),
        (
            licence("esx.standard.cpuPackageCoreLimited", "vmotion"),
            Licence(edition="standard", distributed=False),
        ),
        (licence("esx.vcf.cpuCore"), Licence(edition="vcf")),
        (licence("esx.vvf.cpuCore"), Licence(edition="vvf")),
        (licence("esxBasic"), Licence(edition="free", distributed=False)),
        (licence("eval"), Licence(distributed=True)),
        (licence("something.new"), Licence()),
    ],
)
def test_a_licence_says_its_edition(info, expected):
    assert hosts.licence(info) == expected
