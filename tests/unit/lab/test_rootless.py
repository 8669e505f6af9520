# SPDX-License-Identifier: Apache-2.0
import pytest

from anyvisor.lab import rootless


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("user/max_user_namespaces", "0"),
        ("kernel/unprivileged_userns_clone", "0"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1"),
    ],
)
def test_the_setting_that_forbids_a_user_namespace_is_named(tmp_path, setting, value):
    (tmp_path / setting).parent.mkdir()
    (tmp_path / setting).write_text(value + "\n")

    said = rootless.forbidden("unshare: write failed", tmp_path)

    assert setting.replace("/", ".") in said


def test_without_such_a_setting_the_systems_own_words_are_given(tmp_path):
    said = rootless.forbidden("unshare: unshare failed:\nOperation not permitted\n", tmp_path)

    assert "unshare failed: Operation not permitted" in said
