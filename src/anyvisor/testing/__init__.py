# SPDX-License-Identifier: Apache-2.0
"""Shipped fakes and sandboxes: a fake keeps state, obeys the real rules and can be told to fail."""
