# SPDX-License-Identifier: Apache-2.0
"""anyvisord: one active, others wait on an OVSDB lock."""
