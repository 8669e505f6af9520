# SPDX-License-Identifier: Apache-2.0
"""What the lab writes for its parts."""

import subprocess

import pytest

from anyvisor.agent import settings as agent_settings
from anyvisor.errors import InputError, TerminalError
from anyvisor.lab import daemon, fabric, host, programs, vm
from anyvisor.lab.place import Place
from anyvisor.lab.programs import Programs


def test_the_agent_accepts_the_settings_that_the_lab_writes(place, topology, tmp_path):
    path = tmp_path / "agent.toml"
    path.write_text(host.agent_settings(place, topology, topology.host("kvm3")))

    read = agent_settings.load(path, {}, environment={})

    assert read.host == "kvm3"
    assert read.database == "tcp:192.168.77.1:6640"
    assert read.ovn_bridge_datapath == "netdev"
    assert read.start_openvswitch == (str(place.part("kvm3") / "start-openvswitch"),)


def test_every_card_has_a_cable_of_its_own(topology):
    cables = fabric.cables(topology)

    assert len({cable.port for cable in cables}) == len(cables)
    assert {(c.part, c.card, c.vlan) for c in cables if c.part == "kvm3"} == {
        ("kvm3", "eth0", None),
        ("kvm3", "eth1", 200),
        ("kvm3", "eth2", 201),
    }


def test_the_fabric_gives_a_card_its_vlan_and_a_trunk_the_underlay(topology):
    steps = fabric.bridge_steps(topology)

    assert ("add-port", "fabric", "kvm3-0", "vlan_mode=native-untagged", "tag=10") in steps
    assert ("add-port", "fabric", "kvm3-1", "vlan_mode=access", "tag=200") in steps
    assert ("add-port", "fabric", "outside", "vlan_mode=access", "tag=100") in steps


def test_the_hosts_end_of_a_vnic_fits_an_interface_name(topology):
    assert all(len(machine.device) <= 15 for machine in topology.vms)
    assert vm.host_mac("52:54:00:00:01:01") == "fe:54:00:00:01:01"


def test_a_start_script_starts_nothing_twice(tmp_path):
    folder = tmp_path / "a part"
    (folder / "run").mkdir(parents=True)
    started = f"echo started >> '{folder}/log'; echo $$ > run/it.pid; exec sleep 60"
    path = daemon.script(folder, "start", what="Starts it", lines=[f"runs it || {{ {started}; }}"])

    with subprocess.Popen([path]) as first:
        while not (folder / "run" / "it.pid").exists() or not (folder / "run" / "it.pid").read_text():
            pass
        subprocess.run([path], check=True)
        first.kill()

    assert (folder / "log").read_text() == "started\n"


def test_missing_programs_are_named_with_their_packages(tmp_path):
    with pytest.raises(TerminalError) as caught:
        programs.require(Programs(root=tmp_path))

    assert "ovs-vswitchd" in str(caught.value)
    assert "openvswitch-switch" in caught.value.hint


def test_a_program_that_fails_is_quoted():
    with pytest.raises(TerminalError, match="sh -c echo no >&2; exit 3: no"):
        programs.run(["sh", "-c", "echo no >&2; exit 3"])


@pytest.mark.parametrize("name", ["", "Demo", "a/b", "x" * 21, "1lab"])
def test_a_lab_has_a_plain_name(name):
    with pytest.raises(InputError):
        Place(name=name)
