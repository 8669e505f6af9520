# SPDX-License-Identifier: Apache-2.0
"""The six schemes, one module each with the same functions: `judge`, `predict`, `steps`."""

from anyvisor.planner.schemes.load import Load, loads
from anyvisor.planner.schemes.registry import SCHEMES, SchemePlanner, attachment_kind

__all__ = ["SCHEMES", "Load", "SchemePlanner", "attachment_kind", "loads"]
