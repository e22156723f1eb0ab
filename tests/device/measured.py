"""How much memory something keeps."""

import gc
import tracemalloc
from collections.abc import Callable


def bytes_taken(work: Callable[[], object]) -> int:
    """What is held after ``work`` and was not before."""
    gc.collect()
    tracemalloc.start()
    try:
        work()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
