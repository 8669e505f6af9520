# SPDX-License-Identifier: Apache-2.0
"""What the data plane is told, and what outlives the program."""

import threading
import time

import pytest
from pyVmomi import vim

from anyvisor.lab.vcenter.client import Fault

V = vim.dvs.VmwareDistributedVirtualSwitch


def test_the_state_has_everything_that_frames_depend_on(vc):
    state = vc.control.state()
    hosts = {host.name: host for host in state.hosts}
    switches = {switch.name: switch for switch in state.switches}
    machines = {machine.name: machine for machine in state.vms}
    groups = {group.name: group for group in state.port_groups}

    assert state.full
    assert (hosts["esx1"].cluster, hosts["old1"].cluster) == ("C1", "")
    assert [s.name for s in hosts["esx1"].switches] == ["vSwitch0", "av0"]
    inner = switches["inner"]
    assert (inner.mtu, inner.version, inner.can_learn) == (9000, "7.0.0", True)
    assert [(m.host, m.pnics) for m in inner.members] == [(hosts["esx1"].key, ()), (hosts["esx2"].key, ())]
    assert not switches["outer"].can_learn
    assert (groups["trunk"].trunk, groups["trunk"].mac_learning) == (((1, 4094),), True)
    assert groups["owned-by-nsx"].nsx
    assert sum(group.uplink for group in state.port_groups) == 2
    web = machines["web"]
    assert (web.running, web.host, web.nics[1].backing.kind) == (True, hosts["esx1"].key, "standard")
    (port,) = [p for p in state.ports if p.vm == web.key]
    assert (port.key, port.vlan, port.host, port.nic) == (
        f"{inner.uuid}/{web.nics[0].backing.port}",
        4000,
        hosts["esx1"].key,
        4000,
    )
    assert machines["bare"].nics[0].backing is None


def test_a_change_is_told_as_soon_as_it_happens_and_alone(vc):
    before = vc.control.state()
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(vc.control.wait(before, seconds=20)))
    waiting.start()

    time.sleep(0.2)
    vc.plug(vc.vm("web"), vc.group("trunk"))

    waiting.join(5)
    (answer,) = answers
    assert not answer.full
    assert answer.generation > before.generation
    assert [vm.name for vm in answer.vms] == ["web"]
    assert len(answer.changed.ports) == 2
    assert [port.port_group for port in answer.ports] == [vc.group("trunk").key], "the other one is free now"
    assert answer.hosts == answer.switches == ()


def test_what_changes_nothing_for_frames_is_not_told(vc):
    before = vc.control.state()

    vc.reconfigure(vc.vm("web"), annotation="hello")
    answer = vc.control.wait(before, seconds=0.2)

    assert answer.generation == before.generation
    assert answer.vms == ()


def test_who_comes_from_another_run_gets_everything(vc, running, start):
    before = vc.control.state()
    running.kill()

    after = start().control.wait(before, seconds=0)

    assert after.full
    assert after.instance != before.instance


@pytest.fixture
def changed(vc):
    """A world in which much has been done."""
    folder = vc.content.rootFolder.childEntity[0].networkFolder
    spec = vim.DistributedVirtualSwitch.CreateSpec(
        configSpec=V.ConfigSpec(
            name="ours",
            maxMtu=8000,
            host=[
                vim.dvs.HostMember.ConfigSpec(
                    operation="add", host=vc.host(name), backing=vim.dvs.HostMember.PnicBacking()
                )
                for name in ("esx1", "esx2")
            ],
        ),
        productInfo=vim.dvs.ProductSpec(version="7.0.0"),
    )
    switch = vc.done(folder.CreateDVS_Task(spec))
    group = vc.add_group(
        "av",
        dvs="ours",
        policy=V.VMwarePortgroupPolicy(
            vlanOverrideAllowed=True, blockOverrideAllowed=True, livePortMovingAllowed=False,
            portConfigResetAtDisconnect=True, shapingOverrideAllowed=False, vendorConfigOverrideAllowed=False,
            uplinkTeamingOverrideAllowed=False, securityPolicyOverrideAllowed=False,
        ),
    )  # fmt: skip
    key = vc.plug(vc.vm("db"), group).backing.port.portKey
    change = vim.dvs.DistributedVirtualPort.ConfigSpec(operation="edit", key=key, setting=vc.vlan(77))
    vc.done(switch.ReconfigureDVPort_Task([change]))
    vc.done(vc.vm("db").RelocateVM_Task(vim.vm.RelocateSpec(host=vc.host("esx1"))))
    golden = vc.vm("golden")
    pool = vc.host("esx2").parent.resourcePool
    vc.done(
        golden.CloneVM_Task(
            golden.parent, "copy", vim.vm.CloneSpec(location=vim.vm.RelocateSpec(pool=pool), powerOn=True)
        )
    )
    vc.done(vc.vm("bare").Destroy_Task())
    vc.done(vc.vm("twin").PowerOffVM_Task())
    system = vc.networking("esx2")
    system.AddVirtualSwitch("av1", vim.host.VirtualSwitch.Specification(numPorts=8, mtu=1600))
    system.AddPortGroup(
        vim.host.PortGroup.Specification(
            name="av1-5", vlanId=5, vswitchName="av1", policy=vim.host.NetworkPolicy()
        )
    )
    system.RemovePortGroup("prod")
    vc.done(vc.group("owned-by-nsx").Destroy_Task())
    vc.control.host("old1", power="dies")
    manager = vc.content.extensionManager
    manager.RegisterExtension(
        vim.Extension(
            key="org.anyvisor", version="1", description=vim.Description(label="a", summary="b"),
            lastHeartbeatTime=vc.si.CurrentTime(),
        )
    )  # fmt: skip
    return vc


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_restarted_vcenter_has_forgotten_nobody_but_its_sessions(changed, running, start, world, end):
    before = changed.control.state()
    key = changed.group("av").key
    versions = [changed.dvs("ours").config.configVersion, changed.group("av").config.configVersion]
    getattr(running, end)()

    vcenter = start()

    after = vcenter.control.state()
    for part in ("hosts", "switches", "port_groups", "ports", "vms"):
        assert getattr(after, part) == getattr(before, part)
    client = world.Client(vcenter)
    assert client.group("av").key == key
    assert [client.dvs("ours").config.configVersion, client.group("av").config.configVersion] == versions
    assert {m.name for m in client.group("av").vm} == {"db"}
    assert client.content.extensionManager.FindExtension("org.anyvisor").version == "1"
    assert "av1-5" in {n.name for n in client.host("esx2").network}
    assert [m.config.host.name for m in client.dvs("ours").config.host] == ["esx1", "esx2"]
    new = client.add_group("later", dvs="ours")
    assert new.key not in {group.key for group in before.port_groups}
    client.reconfigure(client.vm("db"), ("add", vim.vm.device.VirtualVmxnet3(key=-1, backing=client.to(new))))
    addresses = [nic.mac for machine in client.control.state().vms for nic in machine.nics]
    assert len(addresses) == len(set(addresses))
    client.close()


def test_a_lone_host_restarts_as_well(start, world):
    first = start(world.esxi())
    client = world.Client(first)
    client.networking("esx").AddVirtualSwitch("av0", vim.host.VirtualSwitch.Specification(numPorts=8))
    client.done(client.vm("app").PowerOffVM_Task())
    before = first.control.state()
    first.kill()

    after = start().control.state()

    assert (after.hosts, after.vms) == (before.hosts, before.vms)
    assert [s.name for s in after.hosts[0].switches] == ["vSwitch0", "av0"]


def test_a_client_finds_a_restarted_vcenter_at_its_old_address(start, world):
    first = start(world.inventory())
    port = first.url.split(":")[2].split("/")[0]
    first.stop()

    second = start(listen=f"127.0.0.1:{port}")

    assert second.url == first.url
    world.Client(second).close()


def test_faults_and_settings_do_not_outlive_the_program(vc, running, start):
    vc.control.inject(Fault(method="*", fault="SystemError", count=-1))
    running.stop()

    vcenter = start()

    assert vcenter.control.struck(1) == 0


def test_a_world_of_usual_size_is_quick(start, world):
    """64 hosts and 5,000 adapters."""
    names = [f"esx{n}" for n in range(64)]
    hosts = [{"name": name, "cluster": "C", "pnics": [{"name": "vmnic0"}]} for name in names]
    machines = [
        {"name": f"vm{n}", "host": names[n % 64], "nics": [{"network": "pg"}, {"network": "VM Network"}]}
        for n in range(2500)
    ]
    switch = {
        "name": "sw",
        "version": "8.0.0",
        "members": [{"host": n} for n in names],
        "port_groups": [{"name": "pg", "ports": 2500}],
    }
    inventory = {
        "datacenters": [
            {
                "name": "DC",
                "clusters": [{"name": "C"}],
                "hosts": hosts,
                "distributed_switches": [switch],
                "vms": machines,
            }
        ]
    }

    began = time.monotonic()
    vcenter = start(inventory)
    assert time.monotonic() - began < 20
    client = world.Client(vcenter)
    state = client.control.state()
    assert (len(state.hosts), len(state.vms), len(state.ports)) == (64, 2500, 2500)
    group, machine, switch = client.add_group("g", dvs="sw"), client.vm("vm7"), client.dvs("sw")
    known = client.control.state()

    began = time.monotonic()
    for n in range(10):
        client.plug(machine, group, number=0)
        client.plug(machine, client.group("pg"), number=0) if n < 9 else None
    assert (time.monotonic() - began) / 19 < 0.5
    assert [vm.name for vm in client.control.wait(known, seconds=0).vms] == ["vm7"]

    began = time.monotonic()
    for n in range(20):
        specs = [
            vim.dvs.DistributedVirtualPortgroup.ConfigSpec(name=f"av{n}", type="earlyBinding", numPorts=1)
        ]
        client.done(switch.AddDVPortgroup_Task(specs))
    assert (time.monotonic() - began) / 20 < 0.5
    client.close()
