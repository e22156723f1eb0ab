"""What one lamp can do, and how the kernel's ``pattern`` trigger is told to do it.

The kernel plays a rhythm by itself, so a lamp tells the truth however busy the device is, and costs
no wake-up (Linux, Documentation/ABI/testing/sysfs-class-led-trigger-pattern).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

STEADY_MS = 1000
"""How long each half of a steady pattern is; any length would do."""
BLINK_MS = 250
FLASH_MS, GAP_MS, PAUSE_MS = 150, 250, 1500
WINK_MS, WINK_GAP_MS, WINK_PERIOD_MS = 50, 250, 5000
PROGRESS_PERIOD_MS, PROGRESS_STEP_MS = 1000, 50

Steps = tuple[tuple[bool, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """Lit or dark for so many milliseconds each, over and over."""

    name: str
    """One word, for programs."""
    words: str
    """What a person sees, after "the lamp"."""
    steps: Steps
    is_soft: bool = False
    """Comes and goes gradually, where the lamp can."""


OFF = Rhythm(name="off", words="is off", steps=((False, STEADY_MS),))
SOLID = Rhythm(name="solid", words="is lit", steps=((True, STEADY_MS),))
BREATH = Rhythm(
    name="breath",
    words="comes and goes slowly",
    steps=((False, 1000), (True, 1000)),
    is_soft=True,
)
BLINK = Rhythm(name="blink", words="blinks", steps=((True, BLINK_MS), (False, BLINK_MS)))
ACKNOWLEDGED = Rhythm(
    name="acknowledged",
    words="flashes once",
    # Dark first: the press is also seen on a lamp that is lit, and within 30 ms of it.
    steps=((False, 30), (True, 150), (False, 1000)),
)


def _times(count: int) -> str:
    return ("once", "twice", "three times", "four times", "five times")[count - 1]


def _count(count: int) -> Rhythm:
    """Flashes to be counted: the number is what a person looks up."""
    flashes = [(True, FLASH_MS), (False, GAP_MS)] * count
    flashes[-1] = (False, PAUSE_MS)
    return Rhythm(
        name=f"count-{count}",
        words=f"flashes {_times(count)}, then pauses",
        steps=tuple(flashes),
    )


def _winks(count: int) -> Rhythm:
    """Hardly seen, and nearly free of current: all is well."""
    winks = [(True, WINK_MS), (False, WINK_GAP_MS)] * count
    shown_ms = sum(ms for _, ms in winks[:-1])
    winks[-1] = (False, WINK_PERIOD_MS - shown_ms)
    return Rhythm(
        name=f"wink-{count}",
        words=f"winks {_times(count)} in five seconds",
        steps=tuple(winks),
    )


def _progress(lit_ms: int) -> Rhythm:
    return Rhythm(
        name=f"progress-{lit_ms * 100 // PROGRESS_PERIOD_MS}",
        words="blinks once a second",
        steps=((True, lit_ms), (False, PROGRESS_PERIOD_MS - lit_ms)),
    )


COUNTS = tuple(_count(count) for count in range(1, 6))
WINKS = tuple(_winks(count) for count in range(1, 4))
_PROGRESS = tuple(_progress(lit_ms) for lit_ms in range(100, 901, PROGRESS_STEP_MS))
KNOWN = (OFF, SOLID, BREATH, BLINK, *COUNTS, *WINKS, *_PROGRESS)


def progress(percent: int) -> Rhythm:
    """Blinking of which the lit part grows from 10 to 90 per cent of a second, in steps of five."""
    share = min(max(percent, 0), 100) / 100
    return _PROGRESS[round(share * (len(_PROGRESS) - 1))]


def is_progress(rhythm: Rhythm) -> bool:
    return rhythm in _PROGRESS


def pattern(rhythm: Rhythm, max_brightness: int, percent: float = 100) -> str:
    """The text for the trigger's file ``pattern``.

    ``max_brightness`` is the lamp's own: a level above it is refused, and a lamp on a GPIO has 1.
    ``percent`` of it is how bright the lamp shall be; never less than the least there is.

    A change of level needs a tuple without a duration behind it, or the kernel dims gradually. A
    single tuple is refused, so that a steady lamp needs two.
    """
    lit = max(1, int(max_brightness * min(max(percent, 0), 100) / 100))
    steps = [(lit if is_lit else 0, ms) for is_lit, ms in rhythm.steps]
    if len(steps) == 1:
        steps *= 2
    elif not rhythm.is_soft or max_brightness == 1:
        steps = [step for level, ms in steps for step in ((level, ms), (level, 0))]
    return " ".join(f"{level} {ms}" for level, ms in steps)


def recognised(text: str) -> Rhythm | None:
    """The rhythm that a lamp plays whose file ``pattern`` reads so; None if it is none of ours."""
    try:
        numbers = [int(word) for word in text.split()]
    except ValueError:
        return None
    if not numbers or len(numbers) % 2:
        return None
    steps = _lasting(zip(numbers[::2], numbers[1::2], strict=True))
    return next((rhythm for rhythm in KNOWN if _is_same(rhythm.steps, steps)), None)


def _lasting(tuples: Iterable[tuple[int, int]]) -> Steps:
    """Without those that only make an edge hard."""
    return tuple((level > 0, ms) for level, ms in tuples if ms)


def _is_same(own: Sequence[tuple[bool, int]], read: Sequence[tuple[bool, int]]) -> bool:
    if len(own) == 1:
        return bool(read) and {is_lit for is_lit, _ in read} == {own[0][0]}
    return tuple(own) == tuple(read)
