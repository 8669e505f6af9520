# SPDX-License-Identifier: Apache-2.0
"""Appliances and what they are given; the inventory; what is counted; the way in from outside."""

import asyncio
import base64
import gzip
import json
import socket
import stat
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from anyvisor.agent import settings as agent_settings
from anyvisor.codec.site import parse_site
from anyvisor.codec.user_data import appliance_user_data
from anyvisor.errors import InputError, TerminalError
from anyvisor.lab import sitefile, topology_file
from anyvisor.lab.esxi import appliance, centre, counting, inventory, machine, population, userdata
from anyvisor.lab.esxi.doorway import Doorway
from anyvisor.lab.esxi.links import Link
from anyvisor.lab.esxi.machine import Lying
from anyvisor.lab.esxi.picture import Cable
from anyvisor.lab.place import Place
from anyvisor.lab.vcenter.client import Counters
from anyvisor.model.host import Host
from anyvisor.model.kinds import Hypervisor, Scheme
from anyvisor.model.names import HostName
from anyvisor.model.policy import AppliancePolicy

POLICY = AppliancePolicy(
    template="t", management="m", tunnel="m", database="tcp:192.168.77.1:6640", gateway="192.168.77.254"
)


def given(text, encoding="base64"):
    match encoding:
        case "base64":
            text = base64.b64encode(text.encode()).decode()
        case "gzip+base64":
            text = base64.b64encode(gzip.compress(text.encode())).decode()
    return {"userdata": text, "userdata.encoding": encoding}


class TestUserData:
    def wish(self):
        host = Host(name=HostName("esx2"), hypervisor=Hypervisor.ESXI, tunnel_ip="192.168.77.22")
        return userdata.read(given(appliance_user_data(host, POLICY)))

    def test_what_the_product_gives_an_appliance_is_understood(self):
        wish = self.wish()

        path, settings = wish.agent
        assert path == "/etc/anyvisor/anyvisor.toml"
        assert settings["host"] == "esx2"
        assert wish.files[path].mode == 0o600
        assert wish.addresses["br-ex"] == ("192.168.77.22/24",)
        assert wish.gateways == {"br-ex": "192.168.77.254"}
        assert "netplan apply" in wish.commands

    @pytest.mark.parametrize("encoding", ["base64", "gzip+base64", ""])
    def test_every_encoding_gives_the_same(self, encoding):
        text = "write_files: [{path: /a, content: b}]\n"

        assert userdata.read(given(text, encoding)).files["/a"].text == "b"

    def test_addresses_come_from_user_data_and_metadata_alike(self):
        network = {"version": 2, "ethernets": {"x": {"set-name": "eth0", "addresses": ["192.0.2.1/24"]}}}
        metadata = json.dumps({"network": base64.b64encode(yaml.safe_dump(network).encode()).decode(),
                               "network.encoding": "base64"})  # fmt: skip

        one = userdata.read({"userdata": yaml.safe_dump({"network": network})})
        other = userdata.read({"userdata": "{}", "metadata": metadata})

        assert one.addresses == other.addresses == {"eth0": ("192.0.2.1/24",)}

    @pytest.mark.parametrize("text", ["- a\n- b\n", "a: [\n", "write_files: 3: 4\n"])
    def test_nonsense_is_refused_in_words(self, text):
        with pytest.raises(TerminalError, match="guestinfo"):
            userdata.read({"userdata": text})

    def test_the_agent_accepts_it_with_what_the_lab_adds(self, place, tmp_path):
        wish = self.wish()
        config = tmp_path / "agent.toml"
        config.write_text(wish.agent[1] and wish.files[wish.agent[0]].text)

        extra = appliance.agent_environment(place, "av1", wish)
        read = agent_settings.load(config, {}, environment=extra)

        assert (read.host, read.database) == ("esx2", "tcp:192.168.77.1:6640")
        assert read.ovs == place.switch_database("av1")
        assert (read.ovn_bridge_datapath, read.appliance_trunk) == ("netdev", "trunk0")
        assert read.start_ovn_controller == (str(place.part("av1") / "start-ovn-controller"),)
        assert read.state_dir == place.part("av1") / "agent"

    def test_settings_of_the_kernel_are_those_of_sysctl_d_and_the_last_file_wins(self):
        files = [
            {
                "path": "/etc/sysctl.d/60-b.conf",
                "content": "# no = comment\nnet.ipv4.conf.all.arp_ignore = 1\n",
            },
            {
                "path": "/etc/sysctl.d/50-a.conf",
                "content": "net.ipv4.conf.all.arp_ignore=2\nnet.ipv4.ip_forward=0",
            },
            {"path": "/etc/other.conf", "content": "net.ipv4.ip_forward = 1"},
        ]

        wish = userdata.read(given(yaml.safe_dump({"write_files": files})))

        assert wish.sysctl == {"net/ipv4/conf/all/arp_ignore": "1", "net/ipv4/ip_forward": "0"}

    def test_files_stay_on_the_machines_own_disk(self, tmp_path):
        wish = userdata.read(
            given(
                "write_files: [{path: /../../etc/x, content: y, permissions: '0600'}, {path: //z, content: w}]"
            )
        )

        appliance._write(tmp_path / "disk", wish)

        assert (tmp_path / "disk/etc/x").read_text() == "y"
        assert stat.S_IMODE((tmp_path / "disk/etc/x").stat().st_mode) == 0o600
        assert (tmp_path / "disk/z").read_text() == "w"


class TestAppliances:
    @pytest.mark.parametrize(
        ("name", "part"),
        [("av-esx2-1", "av-esx2-1"), ("kvm1", None), ("Über VM", None), ("a/../b", None), ("x" * 80, None)],
    )
    def test_a_vm_becomes_a_part_whose_name_makes_a_path(self, name, part):
        found = appliance.part_name(name, "vm-1", {"kvm1"})

        assert part is None or found == part
        assert found not in {"kvm1", ".", "..", ""}
        assert "/" not in found
        assert len(found) <= 30

    def test_two_vms_that_read_alike_are_two_parts(self):
        assert appliance.part_name("A b", "vm-1", ()) != appliance.part_name("A b", "vm-2", ())

    @pytest.mark.parametrize(
        ("booted", "now", "must"),
        [
            (None, "i 1", True),
            ("i 1", "i 1", False),
            ("i 1", "i 2", True),
            ("i 3", "j 1", False),
        ],
        ids=["off", "on already", "off and on again", "vCenter restarted"],
    )
    def test_a_machine_boots_once_each_time_it_is_switched_on(self, booted, now, must):
        assert population.must_boot(booted, now) is must

    def test_what_is_there_is_found_by_its_mark(self, tmp_path):
        place = Place(name="l", root=tmp_path)
        for part in ("kvm1", "av1"):
            place.part(part).mkdir(parents=True)
        (place.part("av1") / appliance.MARK).touch()

        assert appliance.parts(place) == ("av1",)
        assert not appliance.is_on(place, "av1")


class TestCables:
    LINK = Link(
        up=True, mtu=1500, rx_bytes=10, rx_packets=1, rx_dropped=0, tx_bytes=20, tx_packets=2, tx_dropped=0
    )
    CABLE = Cable(device="tap-a", part="a", card="eth0", mac="52:54:00:00:00:01", host="esx1", up=True)

    def lines(self, place, cables, lying):
        return list(machine._lines(place, {cable.device: cable for cable in cables}, lying))

    def test_what_lies_right_is_left_alone(self, place):
        assert self.lines(place, [self.CABLE], {"tap-a": Lying(host="esx1", link=self.LINK)}) == []

    def test_two_cards_may_change_places(self, place):
        other = replace(self.CABLE, device="tap-b", host="esx2")
        lying = {"tap-a": Lying(host="esx2", link=self.LINK), "tap-b": Lying(host="esx1", link=self.LINK)}

        steps = sorted(self.lines(place, [self.CABLE, other], lying))

        assert [phase for phase, _, _ in steps] == [1, 1, 3, 3]
        assert (1, "av-paper-esx2", "link set tap-a netns av-paper-esx1") in steps
        assert (3, "av-paper-esx1", "link set tap-a up") in steps

    def test_a_card_that_is_missing_is_made_and_one_too_many_deleted(self, place):
        steps = self.lines(place, [self.CABLE], {"nic-x": Lying(host="esx1", link=self.LINK)})

        assert (1, "av-paper-esx1", "link del nic-x") in steps
        assert any("link add eth0 netns av-paper-a address 52:54:00:00:00:01" in line for _, _, line in steps)

    def test_what_the_vm_sends_its_host_receives(self):
        counted = machine.counters(replace(self.CABLE, counter="u/7"), self.LINK)

        assert (counted.key, counted.tx_bytes, counted.rx_packets) == ("u/7", 10, 2)


class Told:
    """Takes counters as vCenter does."""

    def __init__(self):
        self.ports, self.nics = [], []

    def push(self, *, ports=(), nics=(), at=0.0):
        self.ports += ports
        self.nics += nics
        return ()


class TestCounting:
    def push(self, counter, key, received, *, distributed=True):
        cable = replace(TestCables.CABLE, counter=key, distributed=distributed)
        link = replace(TestCables.LINK, rx_bytes=received)
        counter.push({"tap-a": cable}, {"tap-a": Lying(host="esx1", link=link)})

    def test_only_what_changed_is_told(self):
        told = Told()
        counter = counting.Counting(told)

        for received in (5, 5, 6):
            self.push(counter, "u/7", received)

        assert [one.tx_bytes for one in told.ports] == [5, 6]

    def test_a_card_that_is_plugged_in_elsewhere_begins_at_nought(self):
        told = Told()
        counter = counting.Counting(told)

        self.push(counter, "u/7", 100)
        self.push(counter, "u/8", 100)
        self.push(counter, "u/8", 130)

        assert [(one.key, one.tx_bytes) for one in told.ports] == [("u/7", 100), ("u/8", 0), ("u/8", 30)]

    def test_a_standard_switchs_card_is_told_as_the_vms(self):
        told = Told()

        self.push(counting.Counting(told), "vm-1/4000", 9, distributed=False)

        assert [one.key for one in told.nics] == ["vm-1/4000"]

    def test_who_forgot_is_told_again(self):
        told = Told()
        counter = counting.Counting(told)
        self.push(counter, "u/7", 5)
        counter.forget()
        self.push(counter, "u/7", 5)

        assert len(told.ports) == 2

    def test_a_device_that_was_made_anew_does_not_count_backwards(self):
        now, base = Counters(key="k", tx_bytes=3), Counters(key="k", tx_bytes=100)

        assert counting.difference(now, base).tx_bytes == 3


class TestInventory:
    @pytest.fixture
    def mixed(self):
        return topology_file.load("mixed")

    def test_vcenter_begins_with_the_topologys_hosts_and_vms(self, mixed):
        (centre_of,) = inventory.inventory(mixed)["datacenters"]

        assert [host["name"] for host in centre_of["hosts"]] == ["esx1", "esx2", "esx3", "esx4", "esx5"]
        assert centre_of["clusters"] == [{"name": "cl1"}]
        assert {
            switch["name"]: [m["host"] for m in switch["members"]]
            for switch in centre_of["distributed_switches"]
        } == {
            "dvs-cl1": ["esx2", "esx3"],
            "dvs-esx4": ["esx4"],
            "dvs-esx5": ["esx5"],
        }
        vms = {vm["name"]: vm for vm in centre_of["vms"]}
        assert vms["web6"]["nics"] == [
            {"mac": "52:54:00:00:01:07", "manual_mac": True, "network": "VM Network"}
        ]
        assert vms["web7"]["nics"][0]["network"] == "dvs-cl1-VM Network"
        assert vms["web13"]["nics"][0]["type"] == "sriov", "a function of esx5's DPU"
        assert "type" not in vms["web6"]["nics"][0]
        pnics = {host["name"]: host["pnics"] for host in centre_of["hosts"]}
        assert [(pnic["name"], pnic.get("sriov_functions")) for pnic in pnics["esx5"]] == [
            ("vmnic0", None),
            ("p0", 8),
        ]
        assert vms["anyvisor-appliance"]["template"]

    def test_names_of_distributed_groups_are_unique(self, mixed):
        (centre_of,) = inventory.inventory(mixed)["datacenters"]
        groups = [
            group["name"] for switch in centre_of["distributed_switches"] for group in switch["port_groups"]
        ]

        assert len(groups) == len(set(groups))

    @pytest.mark.parametrize(
        ("host", "switch"), [("6.5.0", "6.5.0"), ("6.7.0", "6.6.0"), ("7.0.3", "7.0.0"), ("8.0.3", "8.0.0")]
    )
    def test_a_switch_is_as_new_as_its_hosts_allow(self, host, switch):
        assert inventory.switch_version(host) == switch

    def test_the_site_file_names_the_manager_and_pins_the_schemes(self, mixed, place):
        site = parse_site(sitefile.text(place, mixed))

        manager = site.managers["vc1"]
        assert (manager.driver, manager.url) == ("vsphere", "https://192.168.77.2:443/sdk")
        assert manager.credentials == f"file:{centre.credentials(place)}"
        assert {name: host.scheme for name, host in site.hosts.items() if host.scheme} == {
            "esx1": Scheme.SEPARATION,
            "esx2": Scheme.APPLIANCE,
            "esx3": Scheme.APPLIANCE,
            "esx4": Scheme.VENDOR,
            "esx5": Scheme.NIC,
        }
        assert site.hosts["esx2"].tunnel_ip == "192.168.77.22"
        assert site.hosts["esx1"].tunnel_ip is None
        assert site.policy.appliance.template == "anyvisor-appliance"

    def test_commands_outside_use_the_door(self, mixed, tmp_path):
        place = Place(name="l", root=tmp_path)
        place.part("vcenter").mkdir(parents=True)
        (place.part("vcenter") / "door.json").write_text('{"port": 4711}')

        assert centre.url(place, mixed) == "https://127.0.0.1:4711/sdk"

    def test_a_topology_without_esxi_hosts_has_no_vcenter(self, topology, place):
        assert "vcenter" not in topology.parts
        assert "managers" not in sitefile.document(place, topology, {})

    def test_mistakes_about_esxi_hosts_have_their_place(self):
        text = (
            "hosts: [{name: a, ip: 192.0.2.1, switch: openvswitch, hypervisor: esxi, nics: [{name: vmnic0}]}]\n"
            "vcenter: {address: x, port_groups: [{name: p, vlan: 5000}]}\n"
            "vms: [{name: v, host: a, network: n, mac: '52:54:00:00:00:01', port_group: q}]\n"
            "site: {networks: [{name: n}]}\n"
        )

        with pytest.raises(InputError) as caught:
            topology_file.parse(text, source="t.yaml")

        assert {fault.place for fault in caught.value.faults} == {
            "t.yaml: hosts[0].switch",
            "t.yaml: hosts[0].version",
            "t.yaml: vcenter.address",
            "t.yaml: vcenter.port_groups[0].vlan",
            "t.yaml: vms[0].port_group",
        }


class TestDoorway:
    async def through(self, server):
        """Ask a server on loopback through a doorway; what it answers."""
        listening = await asyncio.start_server(server, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        door = centre.open_door()
        serving = asyncio.create_task(Doorway("127.0.0.1", port).serve(door))
        reader, writer = await asyncio.open_connection(*door.getsockname())
        writer.write(b"x" * 200_000)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        serving.cancel()
        listening.close()
        return answer

    def test_bytes_pass_both_ways_until_both_sides_have_ended(self):
        async def count_them(reader, writer):
            writer.write(str(len(await reader.read())).encode())
            writer.close()

        assert asyncio.run(self.through(count_them)) == b"200000"

    def test_each_door_is_another_one(self):
        with centre.open_door() as one, centre.open_door() as other:
            assert one.getsockname() != other.getsockname()
            assert one.getsockname()[0] == "127.0.0.1"
            assert isinstance(one, socket.socket)


def test_the_password_is_its_owners_alone(tmp_path):
    path = Path(tmp_path / "credentials")

    centre._write_secret(path, "user:secret\n")

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
