"""What root makes in somebody's map belongs to that person.

A technician runs ``sudo fieldsync repair``; the daemon, which is not root, has to write to the new
file afterwards.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = 0


@contextmanager
def made_for_the_owner(folder: Path) -> Iterator[None]:
    """What the block makes in ``folder``, and the folders on the way to it that were not there
    before, get the owner, the group and the group's rights of what was there. Nothing is done
    unless we are root, and it is somebody else's."""
    whole = folder.absolute()
    there = next((place for place in (whole, *whole.parents) if place.is_dir()), Path("/"))
    try:
        yield
    finally:
        owner = there.stat()
        if os.geteuid() == ROOT and owner.st_uid != ROOT:
            for path in _made(there, whole):
                _hand_over(path, owner)


def _made(there: Path, folder: Path) -> Iterator[Path]:
    """All that may be new, without what a symbolic link leads to."""
    on_the_way = (folder, *folder.parents)
    yield from (place for place in on_the_way if there in place.parents)
    for place, folders, files in os.walk(folder):
        yield from (Path(place, name) for name in (*folders, *files))


def _hand_over(path: Path, owner: os.stat_result) -> None:
    """Only what is root's, and under this name alone: a name that somebody else made may be another
    one of a file that must stay root's."""
    try:
        facts = path.lstat()
        is_folder = stat.S_ISDIR(facts.st_mode)
        if facts.st_uid != ROOT or not (is_folder or _is_one_file(facts)):
            return
        mode = stat.S_IMODE(facts.st_mode)
        if owner.st_mode & stat.S_IWGRP:
            mode |= stat.S_IRGRP | stat.S_IWGRP
            mode |= stat.S_IXGRP | (owner.st_mode & stat.S_ISGID) if is_folder else 0
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
        os.chmod(path, mode)
    except FileNotFoundError:
        return  # it was only there for a moment


def _is_one_file(facts: os.stat_result) -> bool:
    return stat.S_ISREG(facts.st_mode) and facts.st_nlink == 1
