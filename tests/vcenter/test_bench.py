# SPDX-License-Identifier: Apache-2.0
"""The bench of the vSphere side runs, and what it prints is complete. No figure is judged here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from anyvisor.testing.daemons import missing_programs

ROOT = Path(__file__).parents[2]
KINDS = {"a VM migrates", "a card is put elsewhere", "one port more", "one port less"}


@pytest.mark.skipif(bool(missing_programs()), reason="not installed: OVN")
def test_the_smallest_data_centre_is_built_changed_and_measured():
    argv = [sys.executable, "-m", "bench.vcenter", "4", "8", "--changes", "1", "--json"]
    run = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    (found,) = json.loads(run.stdout)["sizes"]
    assert found["changes"].keys() == KINDS
    assert all(change["calls"] for change in found["changes"].values())
    assert found["first"]["calls"]["WaitForUpdatesEx"] == 1
    assert found["built"]["calls"]["ReconfigVM_Task"] == 8
    assert found["look"]["calls"] == {"WaitForUpdatesEx": 1}
