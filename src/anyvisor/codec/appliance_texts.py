# SPDX-License-Identifier: Apache-2.0
"""Values of `policy.appliance` with a form of their own: what the agent is installed from, whom appliances trust."""

from __future__ import annotations

import re
from pathlib import Path

from anyvisor.codec import addresses, scalars
from anyvisor.codec.document import Spot
from anyvisor.codec.reading import WrongError, shape

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+-----END CERTIFICATE-----")
_BEGIN, _SECRET = "-----BEGIN ", "PRIVATE KEY"


def agent_package(spot: Spot) -> str:
    """A requirement for pip, or the URL or absolute path of a wheel or a Debian package. Whoever may read the VM's
    settings reads it, so no password may stand in it.
    """
    word = scalars.text(spot)
    if word.startswith("-"):
        raise WrongError("this is an option, not a package")
    return addresses.url(spot) if "://" in word else word


def authority(spot: Spot) -> str:
    """The certificates of a PEM file, or of PEM text that stands here itself; always as text."""
    if spot.tag != "str":
        raise WrongError(f"a path or a certificate in PEM form is expected, but here is {shape(spot)}")
    text = spot.raw if _BEGIN in spot.raw else _content(scalars.text(spot))
    if _SECRET in text:
        raise WrongError("a private key is in it; appliances are given the certificate alone")
    found = _CERTIFICATE.findall(text.replace("\r\n", "\n"))
    if not found:
        raise WrongError("there is no certificate in PEM form in it")
    return "".join(f"{each}\n" for each in found)


def _content(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise WrongError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise WrongError(f"there is no certificate in PEM form in {path}") from error
