# SPDX-License-Identifier: Apache-2.0
"""Making the agent a service: what is planned for which machine, and that doing it leaves nothing to do."""

import tomllib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyvisor.agent import installing
from anyvisor.agent.installation import (
    CONFIG,
    DEVD,
    DEVD_NAME,
    HOTPLUG,
    PACKAGES,
    UNIT,
    UNIT_NAME,
    Ground,
    Run,
    Wish,
    WriteFile,
    planned,
    remarks,
)
from anyvisor.agent.settings import load
from anyvisor.errors import InputError, TerminalError

WISH = Wish(
    program="/opt/anyvisor/bin/anyvisor", host="xen1", database="ssl:192.0.2.1:6640", hotplug="#!/bin/bash\n"
)
GROUNDS = st.builds(
    Ground,
    programs=st.frozensets(st.sampled_from(sorted(PACKAGES))),
    systemd=st.booleans(),
    dom0=st.booleans(),
    xapi=st.booleans(),
    libvirt=st.booleans(),
)


def written(steps):
    return {step.path: step for step in steps if isinstance(step, WriteFile)}


def after(ground, steps):
    files = {path: step.text for path, step in written(steps).items()}
    return replace(ground, programs=frozenset(PACKAGES), files={**ground.files, **files})


@given(GROUNDS)
def test_what_was_done_needs_not_be_done_again(ground):
    again = planned(after(ground, planned(ground, WISH)), WISH)

    assert written(again) == {}
    assert [step.argv[0] for step in again] == (["systemctl"] if ground.systemd else [])


@pytest.mark.parametrize(
    ("ground", "hypervisor"),
    [(Ground(dom0=True, libvirt=True), "xl"), (Ground(libvirt=True), "libvirt"), (Ground(), "listed")],
)
def test_the_settings_say_who_knows_the_vms(ground, hypervisor):
    settings = tomllib.loads(written(planned(ground, WISH))[CONFIG].text)

    assert settings == {"host": "xen1", "database": "ssl:192.0.2.1:6640", "hypervisor": hypervisor}


def test_only_dom0_gets_the_hotplug_script_and_it_can_be_run():
    assert HOTPLUG not in written(planned(Ground(), WISH))
    assert written(planned(Ground(dom0=True), WISH))[HOTPLUG].mode & 0o111
    assert any("vif.default.script" in remark for remark in remarks(Ground(dom0=True), WISH))


def test_under_xapi_the_bridge_is_there_before_guests_are_and_no_script_is_needed(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/xensource-inventory").touch()
    assert installing.look(tmp_path).xapi

    files = written(planned(Ground(dom0=True, xapi=True), WISH))

    assert HOTPLUG not in files
    assert list(remarks(Ground(dom0=True, xapi=True), WISH)) == []
    unit = files[UNIT].text.splitlines()
    assert "Before=xapi-domains.service" in unit
    prepare = next(number for number, line in enumerate(unit) if line.startswith("ExecStartPre="))
    assert unit[prepare].endswith("--may-exist add-br br-int -- set Bridge br-int fail_mode=secure")
    assert unit[prepare + 1].startswith("ExecStart=")
    assert "xapi" not in written(planned(Ground(dom0=True), WISH))[UNIT].text


def test_packages_come_first_and_only_those_that_are_missing():
    first = planned(Ground(programs=frozenset({"ovs-vswitchd"})), WISH)[0]

    assert first == Run(argv=("apt-get", "install", "--yes", "--no-install-recommends", "ovn-host"))


def test_without_apt_what_is_missing_is_named():
    with pytest.raises(TerminalError, match="not found: ovs-vswitchd, ovn-controller"):
        planned(Ground(apt=False), WISH)


def test_settings_that_are_there_are_left_alone_and_without_any_the_database_must_be_named():
    there = Ground(files={CONFIG: 'database = "ssl:other:6640"\n'})

    assert CONFIG not in written(planned(there, replace(WISH, host="", database="")))
    with pytest.raises(InputError) as caught:
        planned(Ground(), replace(WISH, database=""))
    assert [fault.place for fault in caught.value.faults] == ["--database"]


def test_what_is_said_otherwise_than_the_settings_is_never_passed_over_in_silence():
    there = Ground(xl="/usr/sbin/xl", files={CONFIG: 'database = "ssl:other:6640"\n'})

    with pytest.raises(InputError) as caught:
        planned(there, replace(WISH, driver_domain=True))

    assert [fault.place for fault in caught.value.faults] == ["--host", "--database", "--driver-domain"]
    assert 'has database = "ssl:other:6640"' in caught.value.faults[1].message
    with pytest.raises(InputError, match="1 mistake"):
        planned(Ground(files={CONFIG: "host = "}), WISH)


def test_an_agent_that_runs_is_restarted_once_its_unit_has_changed():
    before = after(Ground(), planned(Ground(), WISH))
    old = replace(before, files={**before.files, UNIT: "[Unit]\n"})

    assert planned(old, WISH)[-1] == Run(argv=("systemctl", "restart", UNIT_NAME))
    assert all("restart" not in step.argv for step in planned(Ground(), WISH) if isinstance(step, Run))


def test_a_file_that_cannot_be_read_is_said_and_no_traceback(tmp_path):
    (tmp_path / CONFIG.lstrip("/")).mkdir(parents=True)  # root reads every file, but no folder

    with pytest.raises(TerminalError, match="cannot read"):
        installing.look(tmp_path)


def test_a_machine_without_systemd_gets_no_unit_and_is_told_so():
    ground = Ground(systemd=False)

    assert UNIT not in written(planned(ground, WISH))
    assert any("no systemd" in remark for remark in remarks(ground, WISH))


def test_files_are_laid_with_their_modes_and_seen_again(tmp_path):
    (tmp_path / "proc/xen").mkdir(parents=True)
    (tmp_path / "proc/xen/capabilities").write_text("control_d\n")
    ground = installing.look(tmp_path)
    assert ground.dom0
    assert not ground.systemd

    steps = [step for step in planned(ground, WISH) if isinstance(step, WriteFile)]
    for step in steps:
        installing.carry_out(step, tmp_path)

    assert installing.look(tmp_path).files == {CONFIG: written(steps)[CONFIG].text, HOTPLUG: WISH.hotplug}
    assert (tmp_path / HOTPLUG.lstrip("/")).stat().st_mode & 0o777 == 0o755
    assert (tmp_path / CONFIG.lstrip("/")).stat().st_mode & 0o777 == 0o640


def test_a_command_that_fails_ends_it_with_its_words(tmp_path):
    with pytest.raises(TerminalError, match=r"sh -c .*: so it is"):
        installing.carry_out(Run(argv=("sh", "-c", "echo so it is >&2; exit 1")), tmp_path)


def test_the_shipped_hotplug_script_is_what_dom0_gets():
    assert installing.wish(None, None).hotplug.startswith("#!/bin/bash\n")


def test_a_driver_domain_gets_the_hotplug_script_and_who_runs_it():
    ground = Ground(xl="/usr/sbin/xl")
    wish = replace(WISH, driver_domain=True)

    files = written(planned(ground, wish))

    assert files[HOTPLUG].mode & 0o111
    assert "ExecStart=/usr/sbin/xl devd -F" in files[DEVD].text
    assert 'hypervisor = "xl"' in files[CONFIG].text
    assert "driver_domain = true" in files[CONFIG].text
    assert planned(ground, wish)[-1] == Run(argv=("systemctl", "enable", "--now", DEVD_NAME, UNIT_NAME))
    assert any("backend=" in remark for remark in remarks(ground, wish))
    assert DEVD not in written(planned(ground, WISH))


@pytest.mark.parametrize(
    ("ground", "why"), [(Ground(), "not found: xl"), (Ground(dom0=True, xl="/usr/sbin/xl"), "this is dom0")]
)
def test_what_cannot_be_a_driver_domain_is_refused_before_anything_is_done(ground, why):
    with pytest.raises(TerminalError, match=why):
        planned(ground, replace(WISH, driver_domain=True))


def test_the_settings_written_for_a_driver_domain_can_be_read(tmp_path):
    path = tmp_path / "anyvisor.toml"
    path.write_text(
        written(planned(Ground(xl="/usr/sbin/xl"), replace(WISH, driver_domain=True)))[CONFIG].text
    )

    settings = load(path, {}, {})

    assert (settings.is_appliance, settings.way_to_xenstored) == (True, "/dev/xen/xenbus")


def test_a_driver_domain_before_a_switch_or_without_xen_is_refused_with_both_mistakes(tmp_path):
    path = tmp_path / "anyvisor.toml"
    path.write_text('database = "ssl:db:6640"\ndriver_domain = true\nappliance_trunk = "eth1"\n')

    with pytest.raises(InputError) as caught:
        load(path, {}, {})

    assert [fault.place for fault in caught.value.faults] == ["appliance_trunk", "hypervisor"]
