# SPDX-License-Identifier: Apache-2.0
"""A data centre on one Linux machine, made of real parts."""
