# SPDX-License-Identifier: Apache-2.0
"""A role that is too small is named before anything needs it: by `plan`, by a dry run, by `view`; the rest goes on."""

from dataclasses import replace

import pytest
from click.testing import CliRunner

from anyvisor.cli.main import cli
from anyvisor.codec.site_yaml import dump_site
from anyvisor.model.site import Controller
from anyvisor.testing.daemons import missing_programs
from anyvisor.testing.sandbox import OvnSandbox

EVERYBODY = ("web", "db", "aged", "plain", "wide")
DENIED = "Host.Inventory.EditCluster"
NEED = "pin appliances to their hosts"
TURNS = 8


@pytest.fixture
def limited(another):
    """A product whose account may not change clusters."""
    return another(user={"denied": [DENIED]})


@pytest.fixture
def ovn():
    if missing_programs():
        pytest.skip("OVN is not installed")
    with OvnSandbox() as sandbox:
        yield sandbox


def run(product, *arguments):
    done = CliRunner().invoke(cli, ["--database", product.database.remote, *arguments])
    assert done.exit_code == 0, done.output
    return done


@pytest.mark.parametrize("command", [("plan",), ("apply", "--dry-run")])
def test_a_right_that_is_missing_is_named_where_the_manager_is_asked(limited, ovn, tmp_path, command):
    limited.want(EVERYBODY)
    site = limited.store.snapshot().site
    controller = Controller(driver="ovn", northbound=ovn.northbound, southbound=ovn.southbound)
    path = tmp_path / "site.yaml"
    path.write_text(dump_site(replace(site, controller=controller)), encoding="utf-8")

    said = run(limited, *command, "-f", str(path)).output

    assert f"lacks the right {DENIED}: {NEED}" in said
    assert said.count("lacks the right") == 1


def test_the_view_names_it_and_what_does_not_need_it_is_done(limited):
    limited.want(EVERYBODY)
    for _ in range(TURNS):
        limited.turn()

    plugged = limited.store.snapshot().plugged
    assert {port for port, each in plugged.items() if each.card is not None} == set(EVERYBODY)
    powers = {vm.name: vm.power for vm in limited.control.state().vms if vm.name.startswith("av-")}
    assert len(powers) == 3
    assert set(powers.values()) == {"poweredOn"}
    kinds = {c.kind: c for c in limited.conditions() if not c.true}
    assert set(kinds) == {"Manager", "Rights"}
    assert f"the right {DENIED} is missing" in kinds["Manager"].message
    said = run(limited, "view").output
    assert f"vc1: Rights Missing: our account lacks {DENIED} ({NEED})" in said
