"""Named fault points: the places where power may go, made reachable for tests.

A durable step calls ``point("journal.written")`` when it is done. Nothing happens, unless a test
has armed a handler: then it may end the process there, raise, or count. Names are
``noun.past-participle`` and unique; a test reads all of them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

_handler: Callable[[str], None] | None = None


def point(name: str) -> None:
    """Mark that the durable step ``name`` has just been done."""
    if _handler is not None:
        _handler(name)


@contextmanager
def armed(handler: Callable[[str], None]) -> Iterator[None]:
    """Call ``handler(name)`` at every fault point inside the block (tests only)."""
    global _handler
    previous, _handler = _handler, handler
    try:
        yield
    finally:
        _handler = previous
