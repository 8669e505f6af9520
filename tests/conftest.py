# SPDX-License-Identifier: Apache-2.0
"""What holds for every test."""

import os

from hypothesis import HealthCheck, settings

# No test is a stopwatch: a busy machine makes nothing wrong. Where CI is set, hypothesis has a profile for that itself.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
if "CI" not in os.environ:
    settings.load_profile("unhurried")
