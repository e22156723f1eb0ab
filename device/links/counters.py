"""How many bytes went over each interface: the kernel's own counts, retries and TLS included."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Bytes over an interface."""

    received_bytes: int
    sent_bytes: int


class InterfaceCounters:
    """Counts from one asking to the next. ``root`` is where ``sys`` lies.

    An interface that is new since then, or was made anew under the same name as ``ppp0`` is with
    each dial-up, counts from nothing; so does one whose counts were set back.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._net = root / "sys/class/net"
        self._seen = self._read()

    def begin(self) -> None:
        """Count from now on."""
        self._seen = self._read()

    def take(self) -> dict[str, int]:
        """Interface → bytes received and sent since the last time; only those that moved some."""
        before, self._seen = self._seen, self._read()
        moved: dict[str, int] = {}
        for name, (index, *counts) in self._seen.items():
            old_index, *old_counts = before.get(name, (index, 0, 0))
            if old_index != index:
                old_counts = [0, 0]
            moved[name] = sum(
                count - old if count >= old else count
                for count, old in zip(counts, old_counts, strict=True)
            )
        # One that went away takes its last counts with it.
        return {name: size for name, size in moved.items() if size}

    def totals(self) -> dict[str, Traffic]:
        """What went over each interface since it was made; counts nothing anew."""
        return {
            name: Traffic(received_bytes=received, sent_bytes=sent)
            for name, (_, received, sent) in self._read().items()
        }

    def _read(self) -> dict[str, tuple[int, int, int]]:
        """Name → index, received bytes, sent bytes."""
        try:
            folders = sorted(self._net.iterdir())
        except OSError:
            return {}
        found = {}
        for folder in folders:
            index = _number(folder / "ifindex")
            received = _number(folder / "statistics/rx_bytes")
            sent = _number(folder / "statistics/tx_bytes")
            if index is not None and received is not None and sent is not None:
                found[folder.name] = (index, received, sent)
        return found


def _number(path: Path) -> int | None:
    """None while the interface comes or goes."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
