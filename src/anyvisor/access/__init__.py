# SPDX-License-Identifier: Apache-2.0
"""How any manager is logged in to: whose certificate is believed, and where user name and password come from."""
