"""From presses and releases to gestures: no clock, no file, only the moments that the kernel noted.

A gesture is told when the button is let go, and once. There is no double press: it would make each
short press wait, and gloves make it a matter of luck. Between the lengths that mean something there
are some that mean nothing, for whoever thinks better of it.
"""

from dataclasses import dataclass
from enum import Enum

from device.model import Gesture


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """How long a press of each kind lasts, in seconds."""

    short_s: float = 0.8
    """Shorter than this is short."""
    long_s: float = 2.0
    """Long is from here to the middle between this and very long."""
    very_long_s: float = 8.0
    stuck_s: float = 30.0

    def __post_init__(self) -> None:
        if not 0 < self.short_s <= self.long_s < self.very_long_s < self.stuck_s:
            raise ValueError("the lengths of presses must grow from short_s to stuck_s")

    @property
    def long_end_s(self) -> float:
        return (self.long_s + self.very_long_s) / 2

    def meaning(self, pressed: float, now: float) -> Gesture | None:
        """What letting go at ``now`` means.

        Moments are compared, not differences, so that a moment that was waited for has come.
        """
        if pressed <= now < pressed + self.short_s:
            return Gesture.SHORT
        if pressed + self.long_s <= now < pressed + self.long_end_s:
            return Gesture.LONG
        if pressed + self.very_long_s <= now < pressed + self.stuck_s:
            return Gesture.VERY_LONG
        return None


class _Key(Enum):
    UP = "up"
    DOWN = "down"
    """Since a moment that is known: letting go is a gesture."""
    UNCLEAR = "unclear"
    """Down, but nobody knows since when: letting go means nothing."""
    STUCK = "stuck"


class Gestures:
    """The state of one button. Moments are seconds of the monotonic clock."""

    def __init__(self, lengths: Lengths | None = None) -> None:
        self._lengths = lengths or Lengths()
        self._key = _Key.UP
        self._since = 0.0

    def press(self, at: float) -> bool:
        """The key went down; True if that begins a press, which wants an answer."""
        if self._key is not _Key.UP:  # a release was lost: when is not known
            if self._key is _Key.DOWN:
                self._key = _Key.UNCLEAR
            return False
        self._key, self._since = _Key.DOWN, at
        return True

    def release(self, at: float) -> Gesture | None:
        """The key went up; the gesture that this was, if it was one."""
        key, self._key = self._key, _Key.UP
        return self._lengths.meaning(self._since, at) if key is _Key.DOWN else None

    def lose(self, at: float, *, is_down: bool) -> None:
        """Events were lost, or the device was: how the key stands is all that is known."""
        if not is_down:
            self._key = _Key.UP
        elif self._key in (_Key.UP, _Key.DOWN):
            if self._key is _Key.UP:
                self._since = at
            self._key = _Key.UNCLEAR

    def tick(self, now: float) -> Gesture | None:
        """Time has passed; STUCK once, when the key has been down for that long."""
        is_down = self._key in (_Key.DOWN, _Key.UNCLEAR)
        if is_down and now >= self._since + self._lengths.stuck_s:
            self._key = _Key.STUCK
            return Gesture.STUCK
        return None

    def held(self, now: float) -> Gesture | None:
        """What letting go at ``now`` would mean, once that is more than a short press."""
        if self._key is not _Key.DOWN:
            return None
        meaning = self._lengths.meaning(self._since, now)
        return None if meaning is Gesture.SHORT else meaning

    def next_moment(self, now: float) -> float | None:
        """When :meth:`tick` or :meth:`held` will have something new to tell; None: not by time."""
        lengths = self._lengths
        if self._key not in (_Key.DOWN, _Key.UNCLEAR):
            return None
        marks = (lengths.long_s, lengths.long_end_s, lengths.very_long_s, lengths.stuck_s)
        return next((self._since + mark for mark in marks if self._since + mark > now), now)
