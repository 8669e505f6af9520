# SPDX-License-Identifier: Apache-2.0
"""What an appliance is given at its first boot."""

import tomllib

import yaml

from anyvisor.agent import settings
from anyvisor.codec.user_data import AGENT_FILE, NETWORK_FILE, appliance_user_data
from anyvisor.model.host import Host
from anyvisor.model.kinds import Hypervisor
from anyvisor.model.policy import AppliancePolicy

POLICY = AppliancePolicy(
    template="av", management="mgmt", tunnel="tun", database="ssl:192.0.2.1:6640", physical="fabric"
)


def host(tunnel_ip="192.0.2.21"):
    return Host(name="esx2", hypervisor=Hypervisor.ESXI, tunnel_ip=tunnel_ip)


def files(text):
    return {item["path"]: item["content"] for item in yaml.safe_load(text)["write_files"]}


def test_it_is_a_cloud_config_document():
    text = appliance_user_data(host(), POLICY)

    assert text.startswith("#cloud-config\n")
    assert ["netplan", "apply"] in yaml.safe_load(text)["runcmd"]


def test_the_agent_reads_its_settings_from_it(tmp_path):
    path = tmp_path / "anyvisor.toml"
    path.write_text(files(appliance_user_data(host(), POLICY))[AGENT_FILE])

    read = settings.load(path, {}, {})

    assert (read.host, read.database) == ("esx2", "ssl:192.0.2.1:6640")
    assert (read.appliance_trunk, read.appliance_uplink, read.appliance_physical) == (
        "eth2",
        "eth1",
        "fabric",
    )
    assert read.appliance_tunnel_ip == "192.0.2.21"


def test_the_tunnel_address_is_on_the_bridge_and_the_trunk_has_none():
    network = yaml.safe_load(files(appliance_user_data(host(), POLICY))[NETWORK_FILE])["network"]

    assert network["bridges"]["br-ex"]["addresses"] == ["192.0.2.21/24"]
    assert network["bridges"]["br-ex"]["interfaces"] == ["eth1"]
    assert "addresses" not in network["ethernets"]["eth2"]


def test_without_a_tunnel_address_it_asks_by_dhcp():
    text = appliance_user_data(host(tunnel_ip=None), POLICY)

    network = yaml.safe_load(files(text)[NETWORK_FILE])["network"]
    assert network["bridges"]["br-ex"]["dhcp4"] is True
    assert "appliance_tunnel_ip" not in tomllib.loads(files(text)[AGENT_FILE])
