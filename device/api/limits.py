"""How much the socket takes and gives at most. Memory is bounded by these numbers."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Times are seconds."""

    connections: int = 64
    """A Python connection costs about 30 kB."""
    streams: int = 32
    """How many of them may be event streams, so that a forgotten one shuts nobody out."""
    open_maps: int = 2
    """Each opens the files of a map once more."""
    body_bytes: int = 16 * 1024
    line_bytes: int = 4096
    """The request line, and each header."""
    headers: int = 64
    request_s: float = 15.0
    """How long a request may take to come."""
    answer_s: float = 60.0
    """How long any answer but a stream may take to be made."""
    stall_s: float = 60.0
    """How long a stream waits for a reader who takes nothing."""
    heartbeat_s: float = 15.0
    stop_s: float = 2.0
    """How long the answers that are being made have when the server stops."""
    linger_s: float = 2.0
    """How long what is left of a refused body is read, so that the caller sees the answer."""
