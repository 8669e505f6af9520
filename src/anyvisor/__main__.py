# SPDX-License-Identifier: Apache-2.0
"""``python -m anyvisor`` is the program `anyvisor`."""

from __future__ import annotations

from anyvisor.cli.main import main

if __name__ == "__main__":
    main()
