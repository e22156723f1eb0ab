"""What a list of rows, ids or attachments is for."""

from enum import IntEnum, unique

from native._native import lib


@unique
class Operation(IntEnum):
    """What happened, or is to happen, to the rows."""

    DATA = lib.FS_DATA
    """They are the content of a replica, a snapshot or a feature set; never in a delta."""
    ADDS = lib.FS_ADDS
    UPDATES = lib.FS_UPDATES
    DELETES = lib.FS_DELETES
