# SPDX-License-Identifier: Apache-2.0
"""Vendors' clients are extras: without one a sentence says which, and no traceback."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys
sys.modules[{module!r}] = None
from anyvisor.attending import connected_estate
from anyvisor.errors import TerminalError
from anyvisor.model.site import Manager
try:
    connected_estate(Manager(name="m1", driver={driver!r}, url="https://192.0.2.1"), "owner")
except TerminalError as error:
    print(error, "|", error.hint)
"""


def test_a_part_of_our_own_that_is_not_there_is_no_client_to_be_installed():
    program = PROGRAM.format(driver="xapi", module="anyvisor.drivers.xapi.vif")

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert done.returncode != 0
    assert "ModuleNotFoundError" in done.stderr
    assert "pip install" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("driver", "module", "extra"), [("xapi", "XenAPI", "xen"), ("vsphere", "pyVmomi", "vsphere")]
)
def test_a_client_that_is_not_installed_is_named_with_what_to_install(driver, module, extra):
    program = PROGRAM.format(driver=driver, module=module)

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.startswith(f"m1: its driver needs the Python package {module}")
    assert done.stdout.endswith(f"| pip install 'anyvisor[{extra}]'\n")
