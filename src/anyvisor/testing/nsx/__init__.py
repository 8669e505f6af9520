# SPDX-License-Identifier: Apache-2.0
"""An NSX manager in memory behind real HTTPS: as strict as the public API reference says, and never seen beside a
real one. What it answers is what the reference and public code show; where both are silent, it refuses.
"""

from anyvisor.testing.nsx.server import FakeNsx
from anyvisor.testing.nsx.troubles import Trouble

__all__ = ["FakeNsx", "Trouble"]
