# SPDX-License-Identifier: Apache-2.0
"""What to do: pure functions of facts and state. No input or output, no clock, no log."""
