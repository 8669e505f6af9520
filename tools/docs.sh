#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Redraws the pictures (where graphviz is installed) and builds the documentation into site/.
set -euo pipefail
cd "$(dirname "$0")/.."

if command -v dot >/dev/null; then
  for source in docs/pictures/*.dot; do dot -Tsvg "$source" -o "${source%.dot}.svg"; done
else
  echo "==> graphviz is not installed; the pictures stay as they are" >&2
fi
.venv/bin/python tools/commands.py
.venv/bin/uv sync --quiet --frozen --inexact --group docs --python .venv/bin/python
exec env NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build
