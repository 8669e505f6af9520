# SPDX-License-Identifier: Apache-2.0
"""The same policy cases for every hypervisor and scheme of a lab, and the table that comes of it."""
