# SPDX-License-Identifier: Apache-2.0
"""``python -m anyvisor.lab.demo``."""

from anyvisor.lab.demo.command import main

main()
