"""Little memory: how the C library is to keep what it was once given, and how it gives it back."""

import ctypes
import gc
import sys
from functools import lru_cache
from pathlib import Path
from types import FunctionType

M_ARENA_MAX = -8
"""Of mallopt(3)."""
_REMEMBERING = type(lru_cache(len))


def share_one_heap() -> None:
    """Let all threads take their memory from one heap (mallopt(3), glibc). To be called before
    there are any.

    Else each has one of its own, and what was freed in one is of no use to the others: 3.5 MB after
    twenty syncs. They need no heap each, because the interpreter lets one of them run at a time.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(M_ARENA_MAX, 1)


def forget_annotations() -> None:
    """Drop what functions say of their types, which is for those who check the source."""
    for thing in gc.get_objects():
        if type(thing) is FunctionType:
            del thing.__annotations__


def trim() -> None:
    """Hand free memory back to the kernel (malloc_trim(3), glibc); elsewhere only collect it. What
    functions remember (lru_cache) is forgotten: URLs of the last sync."""
    for module in [*sys.modules.values()]:
        for thing in [*getattr(module, "__dict__", {}).values()]:
            if isinstance(thing, _REMEMBERING):
                thing.cache_clear()
    gc.collect()
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)


def resident_bytes(status: Path = Path("/proc/self/status")) -> int:
    """What this process has in memory now (proc(5), VmRSS)."""
    return int(status.read_text(encoding="ascii").split("VmRSS:")[1].split()[0]) * 1024
