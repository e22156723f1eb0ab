"""From the configuration to the parts: which hardware there is, and by which rules it is used.

The only place that knows both; a test or a demonstration puts something else into the same seats.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from device.api.status import ModemStatus
from device.button.button import Button
from device.button.gestures import Lengths
from device.config import (
    Board,
    ButtonConfig,
    Config,
    LampsConfig,
    LinkClassConfig,
    LinkUse,
    ModemMode,
)
from device.lamps.lamps import Lamps
from device.links.bound_loop import BoundLoop, may_bind
from device.links.classes import Classifier
from device.links.counters import InterfaceCounters
from device.links.monitor import LinkMonitor
from device.model import Gesture, Link, LinkClass, Reach
from device.policy import conditions
from device.policy.clock_trust import ClockWatch, built_at
from device.policy.conditions import Conditions
from device.policy.rules import ClassRules, Rules
from device.runs import Counters
from engine import Clock


class Links(Protocol):
    """The links and their changes; :class:`device.links.monitor.LinkMonitor`."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    @property
    def links(self) -> tuple[Link, ...]: ...

    def changes(self) -> AsyncIterator[tuple[Link, ...]]: ...

    def note_reach(self, interface: str, reach: Reach) -> None: ...

    def set_services(self, urls: Iterable[str]) -> None: ...


class Modem(Protocol):
    """The way to a mobile network; :class:`device.modem.part.ModemPart`."""

    on_change: Callable[[], None]
    interfaces: frozenset[str]

    @property
    def link_class(self) -> LinkClass: ...

    @property
    def is_searching(self) -> bool: ...

    @property
    def needs_person(self) -> bool: ...

    def want(self, is_wanted: bool) -> None: ...

    def pressed(self) -> None: ...

    def status(self) -> ModemStatus | None: ...

    async def run(self) -> None: ...


MakeButton = Callable[[Callable[[], None], Callable[[Gesture | None], None]], Button]
"""Makes the button from what is to be called when it goes down, and while it is held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """What the daemon is wired to. ``button`` None: there is none."""

    links: Callable[[], Links]
    counters: Counters
    lamps: Lamps
    button: MakeButton | None
    read_conditions: Callable[[], Conditions]
    clock_watch: ClockWatch
    bind: Callable[[str | None], None] | None = None
    """Keeps new connections to an interface, or to none; None: nobody here may do that."""
    modem: Modem | None = None


CONFIGURATION = Path("/etc/fieldsync/config.toml")


def hardware(config: Config, clock: Clock, *, configuration: Path = CONFIGURATION) -> Hardware:
    """The real thing. ``configuration``: the file, for programs that this one starts."""
    settings = config.conditions
    folders = {one.name: one.folder for one in config.maps}

    def read() -> Conditions:
        return conditions.read(
            clock=clock,
            maps=folders,
            root=settings.root,
            battery=settings.battery_file,
        )

    lamps = config.lamps
    classifier = Classifier(config.links.interfaces, root=settings.root)
    watch = ClockWatch(clock, sync_file=settings.clock_file, earliest=built_at())
    return Hardware(
        links=lambda: LinkMonitor(clock=clock, classifier=classifier),
        counters=InterfaceCounters(settings.root),
        lamps=Lamps(
            lamp_names(lamps),
            clock,
            root=lamps.folder,
            mode=lamps.mode,
            percent=round(lamps.brightness_percent),
        ),
        button=_button(config.button, clock),
        read_conditions=read,
        clock_watch=watch,
        bind=_bind if may_bind() else None,
        modem=_modem(config, classifier, watch, clock, configuration),
    )


def _modem(
    config: Config, classifier: Classifier, watch: ClockWatch, clock: Clock, configuration: Path
) -> Modem | None:
    if config.modem.mode is ModemMode.NONE:
        return None
    from device.modem.part import ModemPart  # most devices have none

    return ModemPart(
        config.modem,
        clock=clock,
        folder=config.socket.path.parent,
        configuration=configuration,
        classifier=classifier,
        on_clock=watch.told,
    )


def lamp_names(config: LampsConfig) -> tuple[str, ...]:
    """The LEDs of the board, in the order of their duties."""
    if config.board is Board.THREE:
        return (config.link, config.sync, config.attention)
    return (config.single,) if config.board is Board.ONE else ()


def _button(config: ButtonConfig, clock: Clock) -> MakeButton | None:
    path = config.device
    if path is None:
        return None
    lengths = Lengths(
        short_s=config.short_s,
        long_s=config.long_s,
        very_long_s=config.very_long_s,
        stuck_s=config.stuck_s,
    )
    return lambda on_press, on_held: Button(
        path, clock, code=config.key_code, lengths=lengths, on_press=on_press, on_held=on_held
    )


def _bind(interface: str | None) -> None:
    loop = asyncio.get_running_loop()
    if isinstance(loop, BoundLoop):
        loop.interface = interface


def rules(config: Config, *, may_bind: bool = False) -> Rules:
    """The policy's rules as the configuration has them."""
    links, conditions_ = config.links, config.conditions
    return Rules(
        classes={one: _class_rules(links.of(one)) for one in LinkClass},
        link_jitter_s=links.jitter_s,
        may_bind=may_bind,
        edits_quiet_s=config.sync.after_edit_s,
        edits_wait_limit_s=config.sync.edits_wait_s,
        free_disk_bytes=round(conditions_.min_free_mb * 1_000_000),
        free_disk_share=conditions_.min_free_percent / 100,
        hottest_c=conditions_.max_temperature_c,
        weakest_battery_percent=conditions_.min_battery_percent,
    )


def _class_rules(config: LinkClassConfig) -> ClassRules:
    minutes = config.every_minutes
    return ClassRules(
        is_allowed=config.use is not LinkUse.NEVER,
        bytes_per_day=config.budget_bytes,
        edits_only=config.use is LinkUse.EDITS,
        pull_interval_s=None if minutes is None else minutes * 60,
        settle_s=config.settle_s,
        backoff_base_s=config.backoff_base_s,
        backoff_limit_s=config.backoff_cap_s,
        deadline_s=config.run_minutes * 60,
    )
