# SPDX-License-Identifier: Apache-2.0
"""Small Protocols between the core and the adapters. A driver implements one; nothing above knows which."""
