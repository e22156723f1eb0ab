"""How much goes up in one request: as much as the link seems to carry.

A request that is lost is sent again whole, one that is too small is mostly headers. So the size
follows what was measured: it doubles while requests arrive, up to what the link carries in
:data:`TARGET_S`, and is halved when one is lost.
"""

START_BYTES = 128 * 1024
MIN_BYTES = 8 * 1024
MAX_BYTES = 1024 * 1024
TARGET_S = 60.0  # a request should not take longer


class BatchSizer:
    """The present limit, for batches of edits and for parts of uploads alike.

    >>> sizer = BatchSizer()
    >>> sizer.lost()
    >>> sizer.limit_bytes == START_BYTES // 2
    True
    """

    def __init__(self) -> None:
        self.limit_bytes = START_BYTES
        self._ceiling = MAX_BYTES

    @property
    def upload_above(self) -> int:
        """What is larger than this goes up in parts: a batch may be a little over the limit."""
        return 2 * self.limit_bytes

    def arrived(self, size_bytes: int, seconds: float) -> None:
        """A request of that size arrived, and took so long."""
        if 2 * size_bytes < self.limit_bytes:
            return  # too small to tell anything of larger ones
        carried = size_bytes * TARGET_S / seconds if seconds > 0 else MAX_BYTES
        self._set(min(2 * self.limit_bytes, carried))

    def lost(self) -> None:
        """A request was lost, or its answer was."""
        self._set(self.limit_bytes / 2)

    def too_large(self, size_bytes: int) -> bool:
        """The service does not take requests of that size; False if smaller ones make no sense."""
        if size_bytes <= MIN_BYTES:
            return False
        self._ceiling = max(MIN_BYTES, min(self._ceiling, size_bytes // 2))
        self._set(self.limit_bytes)
        return True

    def _set(self, limit: float) -> None:
        self.limit_bytes = int(max(MIN_BYTES, min(self._ceiling, limit)))
