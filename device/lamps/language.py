"""What the lamps say: position is the layer, rhythm is the state, colour only repeats it.

Blinking means at work, coming and going means waiting, counted flashes mean a reason to look up.
Speed alone never tells two states apart.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from device.lamps import rhythm
from device.lamps.rhythm import BLINK, BREATH, COUNTS, OFF, SOLID, WINKS, Rhythm
from device.model import Attention, Indication, LinkSign, WaitReason


class Lamp(Enum):
    """A lamp by its duty. A board has the first three, in this order, or the last one alone."""

    LINK = "LINK"
    SYNC = "SYNC"
    ATTENTION = "ATTN"
    STATUS = "STATUS"


class LampMode(Enum):
    """How much the lamps tell."""

    ALL = "all"
    ERRORS_ONLY = "errors-only"
    """Dark unless something is wrong; a press of the button is still acknowledged."""
    OFF = "off"


THREE = (Lamp.LINK, Lamp.SYNC, Lamp.ATTENTION)
ONE = (Lamp.STATUS,)

_LINK = {
    LinkSign.NONE: OFF,
    LinkSign.SEARCHING: BLINK,
    LinkSign.UP: BREATH,
    LinkSign.SERVICE: SOLID,
}
_WINKS = {
    LinkSign.NONE: WINKS[0],
    LinkSign.SERVICE: WINKS[0],
    LinkSign.SEARCHING: WINKS[1],
    LinkSign.UP: WINKS[2],
}


def on_three_lamps(indication: Indication) -> dict[Lamp, Rhythm]:
    """What each of three lamps does."""
    if indication.is_starting:
        return dict.fromkeys(THREE, BLINK)
    is_syncing = indication.progress is not None
    return {
        Lamp.LINK: SOLID if is_syncing else _LINK[indication.link],
        Lamp.SYNC: _sync(indication),
        Lamp.ATTENTION: counted(indication.attention),
    }


def on_one_lamp(indication: Indication) -> dict[Lamp, Rhythm]:
    """What a single lamp does: the most urgent of all there is to tell."""
    return {Lamp.STATUS: _single(indication)}


def on_lamps(lamps: tuple[Lamp, ...], indication: Indication, mode: LampMode) -> dict[Lamp, Rhythm]:
    """What each lamp of a board does; ``lamps`` is :data:`THREE`, :data:`ONE` or empty."""
    if mode is LampMode.OFF or not lamps:
        return dict.fromkeys(lamps, OFF)
    if mode is LampMode.ERRORS_ONLY:
        shown = dict.fromkeys(lamps, OFF)
        if not indication.is_starting:
            shown[lamps[-1]] = counted(indication.attention)
        return shown
    return on_one_lamp(indication) if lamps == ONE else on_three_lamps(indication)


def counted(attention: Attention) -> Rhythm:
    return COUNTS[attention.value - 1] if attention.value else OFF


def attention_of(reason: WaitReason) -> Attention:
    """What the lamps say when a press was refused for that reason."""
    return _REFUSALS.get(reason, Attention.WILL_RETRY)


_REFUSALS = {
    WaitReason.NOTHING_TO_DO: Attention.NONE,
    WaitReason.PAUSED: Attention.KEPT_FOR_A_PERSON,
    WaitReason.AUTHENTICATION: Attention.REFUSED,
    WaitReason.DISK: Attention.STORAGE,
    WaitReason.STORAGE: Attention.STORAGE,
    WaitReason.UNDERVOLTAGE: Attention.POWER,
    WaitReason.TEMPERATURE: Attention.POWER,
    WaitReason.BATTERY: Attention.POWER,
}


def _sync(indication: Indication) -> Rhythm:
    if indication.progress is not None:
        return rhythm.progress(indication.progress)
    if indication.is_success:
        return SOLID
    if indication.has_pending_edits:
        return BREATH
    return WINKS[0] if indication.is_update_waiting else OFF


def _single(indication: Indication) -> Rhythm:
    if indication.is_starting:
        return BREATH
    attention = indication.attention
    if attention.value > Attention.WILL_RETRY.value:
        return counted(attention)
    if indication.progress is not None:
        return BLINK
    if indication.is_success:
        return SOLID
    if attention is not Attention.NONE:
        return counted(attention)
    return BREATH if indication.has_pending_edits else _WINKS[indication.link]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """One row of the language: what a lamp does, and what that means."""

    lamp: Lamp
    rhythm: Rhythm
    meaning: str
    """A plain sentence, and what to do if there is something to be done."""


_ATTENTION = (
    "The last sync failed; it will be tried again by itself.",
    "Conflicts, refused edits or a pause wait for a person: see fieldsync status.",
    "The service refuses the sign-in or the map: see fieldsync doctor.",
    "The storage is nearly full, or a map cannot be written: see fieldsync doctor.",
    "Power is low, or it is too hot: nothing is synced until that is over.",
)
_DEAD = "fieldsync does not run."
_PENDING = "There are edits that the service does not have yet."
_SUCCESS = "A sync has just ended well."

SIGNS = (
    Sign(lamp=Lamp.LINK, rhythm=OFF, meaning="There is no link."),
    Sign(lamp=Lamp.LINK, rhythm=BLINK, meaning="It looks for a link, or dials."),
    Sign(
        lamp=Lamp.LINK,
        rhythm=BREATH,
        meaning="There is a link; the service has not answered over it yet.",
    ),
    Sign(lamp=Lamp.LINK, rhythm=SOLID, meaning="The service can be reached."),
    Sign(lamp=Lamp.SYNC, rhythm=OFF, meaning="Nothing waits to be sent."),
    Sign(lamp=Lamp.SYNC, rhythm=BREATH, meaning=_PENDING),
    Sign(
        lamp=Lamp.SYNC,
        rhythm=rhythm.progress(50),
        meaning="A sync runs; the longer the lamp is lit, the further it is.",
    ),
    Sign(lamp=Lamp.SYNC, rhythm=SOLID, meaning=_SUCCESS),
    Sign(lamp=Lamp.SYNC, rhythm=WINKS[0], meaning="The service has an update of a map."),
    Sign(lamp=Lamp.ATTENTION, rhythm=OFF, meaning="Nothing is wrong."),
    *(
        Sign(lamp=Lamp.ATTENTION, rhythm=count, meaning=meaning)
        for count, meaning in zip(COUNTS, _ATTENTION, strict=True)
    ),
    Sign(lamp=Lamp.ATTENTION, rhythm=SOLID, meaning=_DEAD),
    Sign(lamp=Lamp.STATUS, rhythm=WINKS[0], meaning="All is well."),
    Sign(lamp=Lamp.STATUS, rhythm=WINKS[1], meaning="It looks for a link, or dials."),
    Sign(
        lamp=Lamp.STATUS,
        rhythm=WINKS[2],
        meaning="There is a link; the service has not answered over it yet.",
    ),
    Sign(lamp=Lamp.STATUS, rhythm=BREATH, meaning=f"{_PENDING} At power-on: it starts."),
    Sign(lamp=Lamp.STATUS, rhythm=BLINK, meaning="A sync runs."),
    Sign(lamp=Lamp.STATUS, rhythm=SOLID, meaning=f"{_SUCCESS} If it stays lit: {_DEAD}"),
    *(
        Sign(lamp=Lamp.STATUS, rhythm=count, meaning=meaning)
        for count, meaning in zip(COUNTS, _ATTENTION, strict=True)
    ),
    Sign(lamp=Lamp.STATUS, rhythm=OFF, meaning="No power, or the lamps are told to stay dark."),
)
"""The language, in the order of the sticker."""

STARTING = "The device starts."


def explain(shown: Mapping[Lamp, Rhythm]) -> list[Sign]:
    """What the lamps mean as they are, a row per lamp; what they do together counts first."""
    together = set(shown.values())
    if set(shown) == set(THREE) and together in ({BLINK}, {SOLID}):
        return [Sign(lamp=lamp, rhythm=played, meaning=STARTING) for lamp, played in shown.items()]
    if shown.get(Lamp.ATTENTION) == SOLID:
        return [Sign(lamp=lamp, rhythm=played, meaning=_DEAD) for lamp, played in shown.items()]
    return [_sign(lamp, played) for lamp, played in shown.items()]


def _sign(lamp: Lamp, played: Rhythm) -> Sign:
    for sign in SIGNS:
        if sign.lamp is lamp and (
            sign.rhythm == played
            or (rhythm.is_progress(sign.rhythm) and rhythm.is_progress(played))
        ):
            return Sign(lamp=lamp, rhythm=played, meaning=sign.meaning)
    return Sign(lamp=lamp, rhythm=played, meaning="This is no sign of fieldsync's.")
