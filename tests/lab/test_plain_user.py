# SPDX-License-Identifier: Apache-2.0
"""A lab without root: in a user namespace that the lab makes for itself."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from anyvisor.lab import process, rootless

pytestmark = pytest.mark.lab
NOBODY = 65534


def in_the_first_user_namespace():
    return Path("/proc/self/uid_map").read_text().split() == ["0", "0", "4294967295"]


@pytest.fixture
def as_plain_user(tmp_path_factory):
    """Runs `anyvisor lab …` as somebody who is not root, in a folder of labs of his own."""
    folder = Path(f"/tmp/anyvisor-test-{os.getpid()}")
    folder.mkdir()
    if os.geteuid() == 0:
        if not in_the_first_user_namespace():
            pytest.skip("root of a user namespace cannot become another user")
        os.chown(folder, NOBODY, NOBODY)
        become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    else:
        become = []
    environment = {
        **os.environ,
        "ANYVISOR_LAB_ROOT": str(folder / "lab"),
        "HOME": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
    }

    def run(*arguments):
        argv = [*become, sys.executable, "-m", "anyvisor", "lab", *arguments]
        return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)

    refused = subprocess.run(
        [*become, *rootless.UNSHARE, "true"], capture_output=True, check=False
    ).returncode
    if refused:
        pytest.skip("this system refuses user namespaces")
    yield run
    run("down")
    if folder.exists():
        folder.rmdir()


def test_a_plain_user_has_a_lab_too(as_plain_user):
    built = as_plain_user("up", "--no-agents", "--json")
    shown = as_plain_user("status", "--json")

    assert built.returncode == 0, built.stderr
    found = json.loads(shown.stdout)
    assert found["state"] == "up"
    assert all(one["alive"] for one in found["processes"])


def test_his_lab_ends_without_a_trace(as_plain_user):
    as_plain_user("up", "--no-agents")
    pids = [one["pid"] for one in json.loads(as_plain_user("status", "--json").stdout)["processes"]]

    ended = as_plain_user("down", "--json")

    assert json.loads(ended.stdout) == {"name": "demo", "deleted": True}
    assert pids
    assert not [pid for pid in pids if process.start_time(pid) is not None]
    assert json.loads(as_plain_user("status", "--json").stdout)["state"] == "absent"


def test_a_second_lab_of_the_same_name_is_refused(as_plain_user):
    as_plain_user("up", "--no-agents")

    again = as_plain_user("up", "--no-agents")

    assert again.returncode == 1
    assert "already" in again.stderr
