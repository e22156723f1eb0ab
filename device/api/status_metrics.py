"""The metrics that follow from the status and the health."""

from collections.abc import Iterator
from enum import Enum

from device.api.metrics import MetricFamily, MetricKind, Sample
from device.api.status import Health, LinkStatus, MapStatus, Status


def families(status: Status, health: Health) -> Iterator[MetricFamily]:
    """All of them; what is not known is left out."""
    yield MetricFamily(
        name="fieldsync",
        kind=MetricKind.INFO,
        help="The version of the daemon.",
        samples=(Sample(value=1, labels={"version": status.version}),),
    )
    yield _one_of("fieldsync_state", "What the daemon is doing.", status.state)
    if status.reason is not None:
        yield _one_of("fieldsync_wait_reason", "Why nothing runs.", status.reason)
    yield _one_of("fieldsync_clock_trust", "Who has said what time it is.", status.clock.trust)
    if (error := status.clock.error) is not None:
        yield _gauge("fieldsync_clock_error_seconds", "How fast the clock is.", error.seconds)
    yield _gauge("fieldsync_uptime_seconds", "Since the daemon started.", status.up_for_s)
    if status.next_run_in_s is not None:
        yield _gauge(
            "fieldsync_next_run_seconds", "Until it tries by itself.", status.next_run_in_s
        )
    yield from _maps(status.maps)
    yield from _links(status.links)
    yield from _budgets(status)
    yield from _conditions(status)
    alive = tuple(Sample(value=part.is_alive, labels={"part": part.name}) for part in health.parts)
    yield _family("fieldsync_part_alive", "Whether a part of the daemon lives.", alive)


def _maps(maps: tuple[MapStatus, ...]) -> Iterator[MetricFamily]:
    counts = {
        "edits": "Edits that the services do not have.",
        "conflicts": "Open conflicts.",
        "quarantined": "Rows that are set aside.",
    }
    for member, text in counts.items():
        found = ((one.name, getattr(one, member)) for one in maps)
        samples = tuple(Sample(value=n, labels={"map": m}) for m, n in found if n is not None)
        yield _family(f"fieldsync_map_{member}", text, samples)
    synced = tuple(
        Sample(value=one.last_sync_at.timestamp(), labels={"map": one.name})
        for one in maps
        if one.last_sync_at is not None
    )
    yield _family(
        "fieldsync_map_last_sync_timestamp_seconds", "When it last synced.", synced, "seconds"
    )
    broken = tuple(Sample(value=one.error is not None, labels={"map": one.name}) for one in maps)
    yield _family("fieldsync_map_failing", "Whether the map cannot be synced.", broken)
    held = tuple(Sample(value=len(one.holds), labels={"map": one.name}) for one in maps)
    yield _family("fieldsync_map_services_left_alone", "Services that wait by themselves.", held)


def _links(links: tuple[LinkStatus, ...]) -> Iterator[MetricFamily]:
    reaching = tuple(
        Sample(value=link.reach.value == "service", labels=_link_labels(link)) for link in links
    )
    yield _family("fieldsync_link_reaches_service", "Whether a link is proven.", reaching)
    moved = tuple(
        Sample(value=count, labels=_link_labels(link) | {"direction": direction})
        for link in links
        for direction, count in (("sent", link.sent_bytes), ("received", link.received_bytes))
        if count is not None
    )
    yield _family("fieldsync_link_bytes", "All traffic since the link was made.", moved, "bytes")


def _budgets(status: Status) -> Iterator[MetricFamily]:
    used = tuple(
        Sample(value=one.used_bytes, labels={"class": one.link_class.value})
        for one in status.budgets
    )
    yield _family("fieldsync_budget_used_bytes", "Of today.", used, "bytes")
    limits = tuple(
        Sample(value=one.limit_bytes, labels={"class": one.link_class.value})
        for one in status.budgets
        if one.limit_bytes is not None
    )
    yield _family("fieldsync_budget_limit_bytes", "Of today.", limits, "bytes")


def _conditions(status: Status) -> Iterator[MetricFamily]:
    board, modem = status.conditions, status.modem
    battery = board.battery_percent
    signal = None if modem is None else modem.signal_dbm
    for name, text, value in (
        ("fieldsync_disk_free_bytes", "On the disk of the maps.", board.disk_free_bytes),
        ("fieldsync_disk_size_bytes", "The disk of the maps.", board.disk_total_bytes),
        ("fieldsync_disk_read_only", "Whether it takes no writes.", board.is_disk_read_only),
        ("fieldsync_undervoltage", "Whether the power is too low now.", board.is_undervoltage),
        ("fieldsync_temperature_celsius", "Of the processor.", board.temperature_c),
        ("fieldsync_battery_ratio", "Full is 1.", None if battery is None else battery / 100),
        ("fieldsync_modem_signal_dbm", "Received strength.", signal),
    ):
        if value is not None:
            yield _gauge(name, text, value)


def _link_labels(link: LinkStatus) -> dict[str, str]:
    return {"interface": link.interface, "class": link.link_class.value}


def _gauge(name: str, text: str, value: float) -> MetricFamily:
    unit = name.rpartition("_")[2]
    is_unit = unit in ("seconds", "bytes", "celsius", "ratio", "dbm")
    return _family(name, text, (Sample(value=value),), unit if is_unit else "")


def _family(name: str, text: str, samples: tuple[Sample, ...], unit: str = "") -> MetricFamily:
    return MetricFamily(name=name, kind=MetricKind.GAUGE, help=text, unit=unit, samples=samples)


def _one_of(name: str, text: str, now: Enum) -> MetricFamily:
    samples = tuple(Sample(value=one is now, labels={name: one.value}) for one in type(now))
    return MetricFamily(name=name, kind=MetricKind.STATESET, help=text, samples=samples)
