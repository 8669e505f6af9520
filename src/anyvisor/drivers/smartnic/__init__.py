# SPDX-License-Identifier: Apache-2.0
"""Network cards that switch: cards, functions and representors from devlink and sysfs."""
