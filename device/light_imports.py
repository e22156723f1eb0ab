"""Keeps 2.5 MB of tables out of the daemon. Import it before aiohttp.

aiohttp before 3.9, as Debian 12 has it, loads a library to guess the encoding of a text that does
not say it; it takes ``cchardet`` where that is there. Everything we read is UTF-8 by its
specification, and is decoded as such by the engine.
"""

import sys
from types import ModuleType


def _detect(data: bytes) -> dict[str, object]:
    """As ``cchardet.detect``, for what is always UTF-8."""
    return {"encoding": "utf-8", "confidence": 1.0}


if "aiohttp" not in sys.modules:
    _module = ModuleType("cchardet", __doc__)
    _module.detect = _detect  # type: ignore[attr-defined]
    sys.modules.setdefault("cchardet", _module)
