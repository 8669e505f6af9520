# SPDX-License-Identifier: Apache-2.0
"""The house rules that no linter knows."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from anyvisor.agent.settings import AgentSettings
from anyvisor.settings import Settings

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "anyvisor"
MODULES = sorted(PACKAGE.rglob("*.py"))
SCRIPTS = [ROOT / "Makefile", ROOT / ".ci" / "run", *sorted((ROOT / "tools").glob("*.sh"))]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
BANNED_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"}
LINES_AT_MOST = 400
FUNCTION_LINES_AT_MOST = 60


def named(path):
    return str(path.relative_to(ROOT))


def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", [*MODULES, *SCRIPTS], ids=named)
def test_every_file_names_its_licence(path):
    first_lines = path.read_text(encoding="utf-8").splitlines()[:2]

    assert any("SPDX-License-Identifier: Apache-2.0" in line for line in first_lines)


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_every_module_says_what_belongs_in_it(path):
    assert ast.get_docstring(tree_of(path))


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_no_module_is_long(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LINES_AT_MOST


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_no_function_is_long(path):
    functions = [n for n in ast.walk(tree_of(path)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]

    too_long = {
        f.name: f.end_lineno - f.lineno + 1
        for f in functions
        if f.end_lineno - f.lineno >= FUNCTION_LINES_AT_MOST
    }

    assert too_long == {}


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_no_module_has_a_name_that_says_nothing(path):
    assert path.stem not in BANNED_NAMES
    assert path.parent.name not in BANNED_NAMES


@pytest.mark.parametrize("path", [m for m in MODULES if m.name == "__init__.py"], ids=named)
def test_a_package_file_holds_no_logic(path):
    allowed = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.Expr)

    others = [type(node).__name__ for node in tree_of(path).body if not isinstance(node, allowed)]

    assert others == []


@pytest.mark.parametrize("path", sorted((PACKAGE / "contracts").glob("*.py")), ids=named)
def test_every_promise_of_a_contract_is_in_words(path):
    undocumented = [
        f"{owner.name}.{method.name}"
        for owner in ast.walk(tree_of(path))
        if isinstance(owner, ast.ClassDef)
        for method in owner.body
        if isinstance(method, ast.FunctionDef) and not ast.get_docstring(method)
    ]

    assert undocumented == []


def test_the_lock_names_public_package_hosts_alone():
    hosts = set(re.findall(r"https?://([^/\"]+)", (ROOT / "uv.lock").read_text(encoding="utf-8")))

    assert hosts == {"pypi.org", "files.pythonhosted.org"}


def test_the_version_stands_in_one_place_and_in_the_changelog():
    source = (PACKAGE / "__init__.py").read_text(encoding="utf-8")
    version = re.search(r'__version__ = "([^"]+)"', source)[1]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert "version" in project["dynamic"]
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_no_link_inside_the_documentation_is_broken(path):
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = [t.split("#")[0] for t in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"[a-z]+:|#", t)]

    missing = [target for target in targets if not (path.parent / target).exists()]

    assert missing == []


@pytest.mark.parametrize("scheme", ["baseline", "vendor", "separation", "substitution", "appliance", "nic"])
def test_every_scheme_has_its_page(scheme):
    assert (ROOT / "docs" / "schemes" / f"{scheme}.md").exists()


@pytest.mark.parametrize("schema", sorted(PACKAGE.rglob("*.ovsschema")), ids=named)
def test_every_column_of_our_databases_is_documented(schema):
    page = (ROOT / "docs" / "reference" / "database.md").read_text(encoding="utf-8")
    tables = json.loads(schema.read_text(encoding="utf-8"))["tables"]

    missing = [
        f"{table}.{column}"
        for table, definition in tables.items()
        for column in definition["columns"]
        if f"`{column}`" not in page or table not in page
    ]

    assert missing == []


@pytest.mark.parametrize("settings", [Settings, AgentSettings])
def test_every_setting_is_documented(settings):
    page = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")

    assert [field.name for field in fields(settings) if f"| `{field.name}` |" not in page] == []


def test_the_help_texts_in_the_documentation_are_those_of_the_program():
    check = subprocess.run(
        [sys.executable, ROOT / "tools" / "commands.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert check.returncode == 0, f"run `make docs`: {check.stderr}"
