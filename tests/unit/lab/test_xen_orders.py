# SPDX-License-Identifier: Apache-2.0
import sys
import time

import pytest

from anyvisor.lab.xen import orders


def test_a_command_is_carried_out_and_answered():
    argv = [sys.executable, "-c", "import sys; print(sys.stdin.read()); sys.stderr.write('no'); sys.exit(3)"]

    found = orders.answer({"argv": argv, "given": "yes", "seconds": 30})

    assert found == {"status": 3, "said": "yes\n", "complained": "no"}


def test_what_is_not_there_or_takes_too_long_is_an_answer_too():
    missing = orders.answer({"argv": ["/no/such/program"], "seconds": 1})
    late = orders.answer({"argv": ["sleep", "60"], "seconds": 0.1})

    assert missing["status"] == late["status"] == orders.NOT_RUN
    assert "No such file" in missing["complained"]
    assert "timed out" in late["complained"]


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # it is nobody's child to wait for
def test_what_is_detached_runs_on_and_writes_into_its_file(tmp_path):
    log = tmp_path / "log"

    found = orders.answer({"argv": ["echo", "here"], "seconds": 1, "detached": str(log)})

    assert found["status"] == 0
    give_up = time.monotonic() + 10
    while log.read_text() != "here\n":
        assert time.monotonic() < give_up
        time.sleep(0.01)
