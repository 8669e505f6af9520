# SPDX-License-Identifier: Apache-2.0
"""What an appliance is given at its first boot."""

import re
import shlex
import tomllib
from dataclasses import replace
from itertools import pairwise

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from anyvisor import __version__
from anyvisor.agent import settings
from anyvisor.codec.appliance_network import appliance_metadata, card_macs
from anyvisor.codec.site import load_site
from anyvisor.codec.user_data import (
    AGENT_FILE,
    CA_FILE,
    NETWORK_FILE,
    SETUP,
    SETUP_FILE,
    SYSCTL_FILE,
    SYSTEM_ID_FILE,
    UNIT,
    appliance_user_data,
)
from anyvisor.errors import InputError
from anyvisor.model.host import Host
from anyvisor.model.kinds import Hypervisor
from anyvisor.model.policy import AppliancePolicy
from anyvisor.testing.certificates import Authority

POLICY = AppliancePolicy(
    template="av", management="mgmt", tunnel="tun", database="ssl:192.0.2.1:6640", physical="fabric"
)
OPEN = replace(POLICY, database="tcp:192.0.2.1:6640")


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("pki") / "ours")


def host(tunnel_ip="192.0.2.21", name="esx2"):
    return Host(name=name, hypervisor=Hypervisor.ESXI, tunnel_ip=tunnel_ip, appliance_ips=("192.0.2.22",))


def files(text):
    return {item["path"]: item["content"] for item in yaml.safe_load(text)["write_files"]}


def layout(text):
    return yaml.safe_load(files(text)[NETWORK_FILE])["network"]


def test_it_is_a_cloud_config_document():
    text = appliance_user_data(host(), POLICY)

    assert text.startswith("#cloud-config\n")
    assert ["netplan", "apply"] in yaml.safe_load(text)["runcmd"]


def test_a_stock_image_gets_everything_and_open_vswitch_comes_before_the_agent():
    document = yaml.safe_load(appliance_user_data(host(), POLICY))

    assert document["package_update"] is True
    assert {"openvswitch-switch", "ovn-host", "python3-venv"} <= set(document["packages"])
    lines = [" ".join(command) for command in document["runcmd"]]
    steps = ["daemon-reload", "openvswitch-switch", "netplan apply", "ovn-host", "anyvisor-agent"]
    order = [next(n for n, line in enumerate(lines) if step in line) for step in steps]
    assert all(before < after for before, after in pairwise(order))
    written = {item["path"]: item for item in document["write_files"]}
    assert written[f"/usr/local/sbin/{SETUP}"]["permissions"] == "0755"
    assert "Restart=always" in written[f"/etc/systemd/system/{UNIT}"]["content"]
    enabled = re.search(r"(?m)^ExecStartPre=(.*)$", written[f"/etc/systemd/system/{UNIT}"]["content"])
    assert enabled[1] in written


def test_a_card_answers_for_its_own_address_alone_before_the_bridge_has_one():
    document = yaml.safe_load(appliance_user_data(host(), POLICY))

    assert "net.ipv4.conf.all.arp_ignore = 1\n" in files(yaml.safe_dump(document))[SYSCTL_FILE]
    commands = document["runcmd"]
    loaded = commands.index(["sysctl", "--quiet", f"--load={SYSCTL_FILE}"])
    assert loaded < commands.index(["netplan", "apply"])


@pytest.mark.parametrize("package", [None, "anyvisor @ https://example.org/a.whl", "/root/it's.deb"])
def test_what_the_agent_is_installed_from_is_said(package):
    said = files(appliance_user_data(host(), replace(POLICY, agent_package=package)))[SETUP_FILE]

    values = dict(word.split("=", 1) for word in shlex.split(said))
    assert values == {"package": package or f"anyvisor=={__version__}", "name": "esx2", "tls": "yes"}


def test_the_agent_reads_its_settings_from_it(tmp_path):
    path = tmp_path / "anyvisor.toml"
    path.write_text(files(appliance_user_data(host(), POLICY))[AGENT_FILE])

    read = settings.load(path, {}, {})

    assert (read.host, read.database) == ("esx2", "ssl:192.0.2.1:6640")
    assert (read.appliance_trunk, read.appliance_uplink, read.appliance_physical) == (
        "trunk0",
        "tunnel0",
        "fabric",
    )
    assert read.appliance_tunnel_ip == "192.0.2.21"
    assert read.tls.ca_certificate == CA_FILE


def test_open_vswitch_is_called_as_the_chassis_is_from_its_first_start():
    second = files(appliance_user_data(host(), POLICY, 2))

    assert second[SYSTEM_ID_FILE] == "esx2+2\n"


def test_the_tunnel_address_is_on_the_bridge_and_the_trunk_has_none():
    network = layout(appliance_user_data(host(), POLICY))

    assert network["bridges"]["br-ex"]["addresses"] == ["192.0.2.21/24"]
    assert network["bridges"]["br-ex"]["interfaces"] == ["tunnel0"]
    trunk = network["ethernets"]["trunk0"]
    assert "addresses" not in trunk
    assert (trunk["link-local"], trunk["accept-ra"], trunk["large-receive-offload"]) == ([], False, False)


def test_the_bridge_speaks_with_the_address_of_its_card():
    """Open vSwitch would make up another one, and vSphere drop its frames as forged."""
    network = layout(appliance_user_data(host(), POLICY, owner="8f3a"))

    bridge = network["bridges"]["br-ex"]["openvswitch"]["other-config"]
    assert bridge == {"hwaddr": network["ethernets"]["tunnel0"]["match"]["macaddress"]}


def test_without_a_tunnel_address_it_asks_by_dhcp():
    text = appliance_user_data(host(tunnel_ip=None), POLICY)

    assert layout(text)["bridges"]["br-ex"]["dhcp4"] is True
    assert "appliance_tunnel_ip" not in tomllib.loads(files(text)[AGENT_FILE])


def test_cards_are_known_by_their_macs_in_both_documents_and_named_to_the_operator():
    macs = card_macs("8f3a", "esx2", 2)
    text = appliance_user_data(host(), POLICY, 2, owner="8f3a")
    metadata = yaml.safe_load(appliance_metadata("8f3a", "esx2", 2, "av-esx2-2"))

    named = {card: macs[what] for what, card in zip(macs, ("mgmt0", "tunnel0", "trunk0"), strict=True)}
    for said in (layout(text), metadata["network"]):
        cards = said["ethernets"]
        assert {card: each["match"]["macaddress"] for card, each in cards.items()} == named
        assert all(each["set-name"] == card for card, each in cards.items())
    remarks = [line for line in text.splitlines() if line.startswith("#")]
    for card, mac in named.items():
        assert [line for line in remarks if card in line and mac in line]
    assert metadata["network"]["ethernets"]["mgmt0"]["dhcp4"] is True


@given(st.lists(st.tuples(st.text("ab", max_size=2), st.sampled_from("xyz"), st.integers(1, 8)), unique=True))
def test_no_two_cards_have_the_same_mac(appliances):
    found = [mac for each in appliances for mac in card_macs(*each).values()]

    assert len(set(found)) == len(found)
    assert all(int(mac[:2], 16) & 0b11 == 0b10 for mac in found), "locally administered, unicast"


def test_the_authority_is_written_and_no_key_ever_is(pki):
    ca = pki.certificate.read_text()
    text = appliance_user_data(host(), replace(POLICY, ca=ca))

    assert files(text)[CA_FILE] == ca
    assert "PRIVATE" not in text
    assert CA_FILE not in files(appliance_user_data(host(), POLICY))


def test_without_tls_there_is_no_word_of_it():
    text = appliance_user_data(host(), OPEN)

    assert not {"private_key", "certificate", "ca_certificate"} & set(tomllib.loads(files(text)[AGENT_FILE]))
    assert "tls=no" in files(text)[SETUP_FILE]


# --- what the site file says of it -----------------------------------------------------------------------------------


def site(tmp_path, more):
    path = tmp_path / "site.yaml"
    path.write_text(
        "policy:\n  appliance:\n    template: t\n    management: m\n    tunnel: u\n"
        f"    database: ssl:192.0.2.1:6640\n{more}"
    )
    return load_site(path)


def test_the_authority_may_stand_in_a_file_or_in_the_site_itself(tmp_path, pki):
    ca = pki.certificate.read_text()
    inline = "    ca: |\n" + "".join(f"      {line}\n" for line in ca.splitlines())

    assert site(tmp_path, f"    ca: {pki.certificate}\n").policy.appliance.ca == ca
    assert site(tmp_path, inline).policy.appliance.ca == ca


def test_a_key_that_is_named_instead_of_the_authority_is_refused_and_not_repeated(tmp_path, pki):
    key = pki.issue("server").private_key

    with pytest.raises(InputError) as refused:
        site(tmp_path, f"    ca: {key}\n")

    said = " ".join(map(str, refused.value.faults))
    assert "private key" in said
    assert "BEGIN" not in said


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("ca: /nowhere/at-all.pem", "cannot be read: No such file"),
        ("ca: /etc/hostname", "no certificate"),
        ("ca: 5", "expected"),
        ("agent_package: https://user:secret@example.org/a.whl", "must not carry a password"),
        ("agent_package: --index-url=x", "an option"),
    ],
)
def test_mistakes_are_named(tmp_path, line, reason):
    with pytest.raises(InputError) as refused:
        site(tmp_path, f"    {line}\n")

    (fault,) = refused.value.faults
    assert reason in fault.message
    assert "secret" not in fault.message
