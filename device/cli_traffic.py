"""What a verb moved over the link, as a person reads it."""

from device.tables import size
from engine import SyncTotals


def traffic(totals: SyncTotals) -> str:
    """One sentence: bytes both ways, and how long it took."""
    return (
        f"Sent {size(totals.sent_bytes)}, received {size(totals.received_bytes)}, "
        f"in {totals.seconds:.1f} s."
    )
