"""How right the wall clock is, in words for a person."""

from device.api.status import ClockStatus
from device.model import ClockTrust
from device.tables import duration

_TRUST = {
    ClockTrust.NONE: "not confirmed by anybody",
    ClockTrust.MODEM: "confirmed by the mobile network",
    ClockTrust.SERVICE: "confirmed by a feature service",
    ClockTrust.NTP: "set by a time server",
}
_TOLD_BY = {
    ClockTrust.NONE: "it was later already when this device last knew the time",
    ClockTrust.MODEM: "so the mobile network says",
    ClockTrust.SERVICE: "so a feature service says, whose certificate holds",
    ClockTrust.NTP: "so a time server says",
}


def clock_words(clock: ClockStatus) -> str:
    """The time, and who vouches for it, or by how much it is wrong."""
    error = clock.error
    told = f"{clock.now:%Y-%m-%d %H:%M:%S} UTC"
    if error is None:
        return f"{told}, {_TRUST[clock.trust]}"
    least, way = "at least " if error.is_at_least else "", "fast" if error.seconds > 0 else "slow"
    by = duration(abs(error.seconds))
    return f"{told}, which is {least}{by} {way}: {_TOLD_BY[error.told_by]}"
