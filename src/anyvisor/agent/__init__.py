# SPDX-License-Identifier: Apache-2.0
"""The switch agent on a chassis."""
