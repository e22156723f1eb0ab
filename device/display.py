"""How the device is, told to the lamps, to the service manager and to readers of the socket."""

from collections.abc import Callable

from device.api.events import EventHub
from device.indication import Seen, indication
from device.lamps.lamps import Lamps
from device.model import Indication
from device.notify import ServiceManager
from engine import Clock


class Display:
    """Asks ``seen`` and ``sentence`` how it is now, and tells it if that is new."""

    def __init__(
        self,
        *,
        clock: Clock,
        lamps: Lamps,
        manager: ServiceManager,
        events: EventHub,
        seen: Callable[[], Seen],
        sentence: Callable[[], str],
    ) -> None:
        self._clock = clock
        self._lamps = lamps
        self._manager = manager
        self._events = events
        self._seen = seen
        self._sentence = sentence
        self._told = ""

    def indication(self) -> Indication:
        """What the lamps tell now."""
        return indication(self._seen(), self._clock.monotonic())

    def refresh(self) -> None:
        """Something may be different."""
        shown, text = self.indication(), self._sentence()
        self._lamps.show(shown)
        self._manager.status(text)
        told = f"{shown} {text}"
        if told != self._told:
            self._told = told
            self._events.status_changed()
