# SPDX-License-Identifier: Apache-2.0
"""The agent's small files."""

import logging
import os
import stat

import pytest

from anyvisor.agent.memory import StateFolder
from anyvisor.errors import RetryableError
from anyvisor.testing.memory import DictMemory


@pytest.fixture(params=["folder", "fake"])
def memory(request, tmp_path):
    return StateFolder(tmp_path / "state") if request.param == "folder" else DictMemory()


@pytest.fixture
def folder(tmp_path):
    return StateFolder(tmp_path)


def test_what_was_never_saved_is_empty(memory):
    assert memory.load("journal") == {}


@pytest.mark.parametrize("durable", [True, False])
def test_what_was_saved_last_is_loaded(memory, durable):
    memory.save("journal", {"phase": "one", "more": True}, durable=durable)
    memory.save("journal", {"phase": "two", "listed": [1, None]}, durable=durable)
    memory.save("other", {"phase": "three"}, durable=durable)

    assert memory.load("journal") == {"phase": "two", "listed": [1, None]}


def test_the_documents_outlive_the_process(tmp_path):
    StateFolder(tmp_path / "state").save("journal", {"phase": "one"})

    assert StateFolder(tmp_path / "state").load("journal") == {"phase": "one"}


def test_the_folder_is_made_for_its_owner_alone(tmp_path):
    StateFolder(tmp_path / "var" / "state").save("journal", {})

    assert stat.S_IMODE((tmp_path / "var" / "state").stat().st_mode) == 0o700


def test_a_write_that_was_cut_short_leaves_the_old_document(folder, tmp_path):
    folder.save("journal", {"phase": "one"})
    (tmp_path / "journal.new").write_text('{"phase": "tw')

    assert folder.load("journal") == {"phase": "one"}
    folder.save("journal", {"phase": "two"})
    assert folder.load("journal") == {"phase": "two"}


def test_what_cannot_be_put_down_leaves_the_old_document(folder):
    folder.save("journal", {"phase": "one"})

    with pytest.raises(TypeError):
        folder.save("journal", {"phase": object()})

    assert folder.load("journal") == {"phase": "one"}


def test_a_durable_document_is_on_the_disk_before_it_has_its_name(folder, tmp_path, monkeypatch):
    told = []
    sync, name = os.fsync, type(tmp_path).replace

    def fsync(descriptor):
        told.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        sync(descriptor)

    def replace(path, target):
        told.append("name")
        return name(path, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(type(tmp_path), "replace", replace)

    folder.save("journal", {})
    assert told == ["file", "name", "folder"]
    told.clear()
    folder.save("journal", {}, durable=False)
    assert told == ["name"]


@pytest.mark.parametrize("content", [b"", b"{", b"[1, 2]", b"7", b"\xff\xfe", b"null"])
def test_a_file_with_something_else_in_it_is_set_aside(folder, tmp_path, content, caplog):
    (tmp_path / "journal.json").write_bytes(content)

    with caplog.at_level(logging.WARNING):
        assert folder.load("journal") == {}

    assert "journal.json" in caplog.text
    assert (tmp_path / "journal.bad").read_bytes() == content
    assert folder.load("journal") == {}


def test_a_file_that_cannot_be_read_is_not_passed_over(folder, tmp_path):
    # What it says may be that the host is half converted.
    (tmp_path / "journal.json").mkdir()

    with pytest.raises(RetryableError, match=r"journal\.json cannot be read"):
        folder.load("journal")

    assert (tmp_path / "journal.json").is_dir()


def test_a_folder_that_cannot_be_written_is_an_error_that_the_agent_reports(tmp_path):
    (tmp_path / "state").write_text("not a folder")

    with pytest.raises(RetryableError, match="cannot be written"):
        StateFolder(tmp_path / "state").save("journal", {})
