"""Telling that a file was written, or that another one took its place, without reading it."""

import os
from pathlib import Path

Stamp = tuple[int, int, int]
"""Number of the file, its size, time of the last write."""


def stamp_of(path: Path) -> Stamp | None:
    """What is another once the file was written; None if it is not there.

    The number alone would not tell: a file that takes the place of a deleted one may get it.
    """
    try:
        facts = os.stat(path)
    except OSError:
        return None
    return facts.st_ino, facts.st_size, facts.st_mtime_ns
