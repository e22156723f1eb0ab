"""Giving memory back: the C library keeps what it was once given, unless it is asked for it."""

import ctypes
import gc
from pathlib import Path


def trim() -> None:
    """Hand free memory back to the kernel (malloc_trim(3), glibc). Elsewhere only collect it."""
    gc.collect()
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)


def resident_bytes(status: Path = Path("/proc/self/status")) -> int:
    """What this process has in memory now (proc(5), VmRSS)."""
    return int(status.read_text(encoding="ascii").split("VmRSS:")[1].split()[0]) * 1024
