# SPDX-License-Identifier: Apache-2.0
"""Runs commands in the emulated dom0 for the lab outside: one JSON line in, one out, per connection.

``{"argv": [...], "given": "", "seconds": 60}`` → ``{"status": 0, "said": "", "complained": ""}``. With ``"detached"``
the program runs on by itself, its output in the file of that name.
"""

from __future__ import annotations

import json
import socketserver
import subprocess
import sys
from pathlib import Path
from typing import Any

NOT_RUN = 127


class _Order(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        order = json.loads(self.rfile.readline())
        self.wfile.write((json.dumps(answer(order)) + "\n").encode())


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def answer(order: dict[str, Any]) -> dict[str, Any]:
    """Carry one order out and say what came of it."""
    argv = order["argv"]
    try:
        if order.get("detached"):
            with Path(order["detached"]).open("ab") as log:
                subprocess.Popen(
                    argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
            return {"status": 0, "said": "", "complained": ""}
        done = subprocess.run(
            argv,
            input=order.get("given", ""),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=order["seconds"],
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"status": NOT_RUN, "said": "", "complained": str(error)}
    return {"status": done.returncode, "said": done.stdout, "complained": done.stderr}


if __name__ == "__main__":
    with _Server((sys.argv[1], int(sys.argv[2])), _Order) as server:
        server.serve_forever()
