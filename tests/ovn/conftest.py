# SPDX-License-Identifier: Apache-2.0
"""Fixtures of tests against the real OVN programs. No root and no network is needed."""

from pathlib import Path

import pytest

from anyvisor.testing.daemons import missing_programs
from anyvisor.testing.sandbox import AnyvisorDatabase, OvnSandbox

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    missing = missing_programs()
    skip = pytest.mark.skip(reason=f"not installed: {', '.join(missing)}")
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.ovn)
            if missing:
                item.add_marker(skip)


@pytest.fixture
def ovn():
    """Northbound, southbound and northd."""
    with OvnSandbox() as sandbox:
        yield sandbox


@pytest.fixture
def database():
    """The Anyvisor and the telemetry database, empty."""
    with AnyvisorDatabase() as database:
        yield database
