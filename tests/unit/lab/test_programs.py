# SPDX-License-Identifier: Apache-2.0
"""The environment that the programs of a lab get."""

from anyvisor.lab import programs


def test_what_the_user_set_for_his_commands_does_not_reach_the_agents_of_another_lab(monkeypatch):
    monkeypatch.setenv("ANYVISOR_DATABASE", "unix:/elsewhere/db.sock")
    monkeypatch.setenv("ANYVISOR_LAB_ROOT", "/elsewhere")
    monkeypatch.setenv("LANG", "C.UTF-8")

    given = programs.environment({"EXTRA": "1"})

    assert "ANYVISOR_DATABASE" not in given
    assert given["ANYVISOR_LAB_ROOT"] == "/elsewhere"
    assert (given["LANG"], given["PATH"], given["EXTRA"]) == ("C.UTF-8", programs.PATH, "1")
