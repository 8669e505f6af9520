# SPDX-License-Identifier: Apache-2.0
"""Labs for tests, each with a name of its own, deleted whatever happens."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from anyvisor.lab import down, topology_file, up
from anyvisor.lab.place import Place
from anyvisor.lab.progress import silent

_NUMBERS = count(1)
CHROOT = Path(os.environ["ANYVISOR_LAB_CHROOT"]) if "ANYVISOR_LAB_CHROOT" in os.environ else None
"""Another system's folder whose Open vSwitch and OVN the labs shall run."""


def pytest_collection_modifyitems(items):
    if os.geteuid() != 0:
        reason = pytest.mark.skip(reason="needs root; `make lab-test` arranges that")
        for item in items:
            if "tests/lab" in item.nodeid and "plain_user" not in item.nodeid:
                item.add_marker(reason)


def new_place():
    return Place(name=f"t{os.getpid()}-{next(_NUMBERS)}")


@pytest.fixture
def place():
    """A place where a test may build a lab."""
    chosen = new_place()
    yield chosen
    down.down(chosen)


@pytest.fixture
def topology():
    return topology_file.load()


@pytest.fixture(scope="module")
def lab():
    """A lab without agents, shared by the tests of a module that only look at it."""
    chosen = new_place()
    up.up(chosen, topology_file.load(), up.Options(agents=False, chroot=CHROOT), silent)
    yield chosen
    down.down(chosen)


class Product:
    """The product's own commands, run against a lab from outside of it."""

    def __init__(self, place):
        self.place = place
        self._environment = {**os.environ, "ANYVISOR_DATABASE": place.database}

    def run(self, *arguments, status=0):
        argv = [sys.executable, "-m", "anyvisor", *arguments]
        done = subprocess.run(argv, env=self._environment, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stdout + done.stderr + self.last_words()
        return done.stdout

    def last_words(self, lines=25):
        """What the lab's programs wrote last, for a failure's report: the lab is deleted with its logs."""
        logs = [log for log in sorted(self.place.folder.glob("**/*.log")) if not log.name.startswith("ov")]
        return "".join(
            f"\n--- {log.relative_to(self.place.folder)}\n"
            + "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
            for log in logs
        )

    def apply(self, variant=None):
        return self.run("apply", "-f", str(self.place.site(variant)), "--wait", "60")

    def view(self):
        return json.loads(self.run("view", "--json"))

    @contextmanager
    def serving(self):
        """A daemon outside of the lab, as its operator's commands are, while the context lasts."""
        argv = [sys.executable, "-m", "anyvisor", "-v", "--database", self.place.database, "serve"]
        log = (self.place.folder / "anyvisord.log").open("w")
        with log, subprocess.Popen(argv, stderr=log) as running:
            try:
                yield
            finally:
                running.terminate()

    def host(self, name):
        return next(host for host in self.view()["hosts"] if host["host"] == name)


@pytest.fixture(scope="session")
def options():
    """How a test's own lab is built, beside what the test says."""

    def chosen(**details):
        return up.Options(chroot=CHROOT, **details)

    return chosen


@pytest.fixture(scope="session")
def product_of():
    """The product's commands for a lab that a test built itself."""
    return Product


def lab_with_agents(variant):
    """A lab to which its site, or a variant of it, has been applied."""
    chosen = new_place()
    up.up(chosen, topology_file.load(), up.Options(chroot=CHROOT), silent)
    try:
        product = Product(chosen)
        product.apply(variant)
        yield product
    finally:
        down.down(chosen)


@pytest.fixture(scope="module")
def separated():
    """kvm3 keeps its Linux bridge."""
    yield from lab_with_agents("separation")


@pytest.fixture(scope="module")
def converted():
    """kvm3 was chosen for substitution from the beginning."""
    yield from lab_with_agents(None)
