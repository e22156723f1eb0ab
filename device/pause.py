"""A pause of all syncs that somebody asked for: for some time, or until somebody ends it.

It outlives a restart. Nobody knows how long a device was off, so that a pause for some time goes on
with what was left of it when that was last kept.
"""

from dataclasses import replace

from device.model import Run, Wait, WaitReason
from device.state import State
from engine import Clock

KEPT_EVERY_S = 300.0
"""So often it is noted how much is left of a pause. A start after a power cut takes as much off it,
so that a device which is never on for long does not rest for ever."""
LONGEST_S = 30 * 24 * 3600.0


class Pause:
    """``ends_at``: the moment of the monotonic clock at which it ends by itself, or None."""

    def __init__(self, stored: State, clock: Clock) -> None:
        self.ends_at: float | None = None
        self._stored = stored
        self._clock = clock
        self._kept_at = clock.monotonic()

    def set(self, is_paused: bool, seconds: float | None) -> None:
        """It begins, for so long, or ends; kept at once."""
        now = self._clock.monotonic()
        self.ends_at = now + seconds if is_paused and seconds else None
        self._keep(is_paused, is_urgent=True)

    @property
    def is_over(self) -> bool:
        return self.ends_at is not None and self._clock.monotonic() >= self.ends_at

    @property
    def next_moment(self) -> float | None:
        """When :meth:`look` has something to do."""
        return None if self.ends_at is None else min(self.ends_at, self._kept_at + KEPT_EVERY_S)

    def explained(self, decision: Run | Wait) -> Run | Wait:
        """The decision, with the end of the pause if that is what is waited for."""
        if isinstance(decision, Run) or decision.reason is not WaitReason.PAUSED:
            return decision
        if self.ends_at is None:
            return decision
        detail = "Syncing is paused for some time, or until somebody lets it go on."
        return replace(decision, until=self.ends_at, detail=detail)

    def look(self) -> None:
        """Note how much is left of it, now and then."""
        if self.ends_at is not None and self._clock.monotonic() >= self._kept_at + KEPT_EVERY_S:
            self._keep(True)

    def stop(self) -> None:
        """The daemon ends in good order."""
        if self.ends_at is not None:
            self._keep(True)

    def restore(self, *, was_clean: bool) -> bool:
        """Whether the device was paused when the last daemon ended; goes on with what was left."""
        kept = self._stored.get("pause")
        left_s = kept.get("left_s")
        if isinstance(left_s, int | float) and left_s >= 0:
            left_s = min(left_s, LONGEST_S) - (0 if was_clean else KEPT_EVERY_S)
            self.ends_at = self._clock.monotonic() + max(0.0, left_s)
            if not was_clean:
                self._keep(True, is_urgent=True)
        return kept.get("is_paused") is True

    def _keep(self, is_paused: bool, *, is_urgent: bool = False) -> None:
        self._kept_at = now = self._clock.monotonic()
        left_s = None if self.ends_at is None else round(max(0.0, self.ends_at - now), 3)
        self._stored.put("pause", {"is_paused": is_paused, "left_s": left_s}, is_urgent=is_urgent)
