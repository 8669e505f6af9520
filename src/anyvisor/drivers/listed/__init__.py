# SPDX-License-Identifier: Apache-2.0
"""Hosts that stand in the site file only: vNICs are found by their MAC."""
