# SPDX-License-Identifier: Apache-2.0
"""What exists: frozen dataclasses and value types."""
