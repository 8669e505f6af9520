# SPDX-License-Identifier: Apache-2.0
"""The overall view: coverage and escapes. Pure on what drivers and agents report."""
