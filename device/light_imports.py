"""Keeps out of the daemon what aiohttp would load for nothing. Import it before aiohttp.

aiohttp before 3.9, as Debian 12 has it, loads a library to guess the encoding of a text that does
not say it, which has tables of 2.5 MB; it takes ``cchardet`` where that is there. Everything we
read is UTF-8 by its specification, and is decoded as such by the engine.

The short lists that aiohttp keeps in ``frozenlist`` need no compiled one. That of today is written
in C++, whose library is 1 MB.
"""

import os
import sys
from types import ModuleType


def _detect(data: bytes) -> dict[str, object]:
    """As ``cchardet.detect``, for what is always UTF-8."""
    return {"encoding": "utf-8", "confidence": 1.0}


os.environ.setdefault("FROZENLIST_NO_EXTENSIONS", "1")
if "aiohttp" not in sys.modules:
    _module = ModuleType("cchardet", __doc__)
    _module.detect = _detect  # type: ignore[attr-defined]
    sys.modules.setdefault("cchardet", _module)
