"""The metrics are OpenMetrics to the letter, and say what the status says."""

import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from device.api.metrics import MetricFamily, MetricKind, Sample
from device.api.openmetrics import text_of
from device.api.status import ClockStatus, DeviceConditions, MapStatus, ModemStatus
from device.api.status_metrics import families
from device.model import ClockTrust
from tests.device.api.conftest import Caller
from tests.fakes.appliance import FakeAppliance
from tests.fakes.clock import VirtualClock

# The ABNF of the OpenMetrics specification 1.0.0 ("Text format"), as far as it has samples without
# timestamps and exemplars.
NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
ESCAPED = r'(?:[^\\"\n]|\\[\\"n])*'
LABEL = rf'[a-zA-Z_][a-zA-Z0-9_]*="{ESCAPED}"'
NUMBER = r"[+-]?(?:\d+\.?\d*(?:[eE][+-]?\d+)?|Inf)|NaN"
SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)?\}})? ({NUMBER})")
DESCRIPTION = re.compile(rf"# (TYPE|UNIT|HELP) ({NAME}) (.*)")
SUFFIXES = {"counter": "_total", "info": "_info", "gauge": "", "stateset": ""}


def checked(text: str) -> dict[str, float]:
    """The samples by name and labels, of a text that follows the specification."""
    assert text.endswith("\n# EOF\n") or text == "# EOF\n"
    samples: dict[str, float] = {}
    seen: set[str] = set()
    family, kind, told = "", "", ["EOF"]
    for line in text.splitlines()[:-1]:
        if described := DESCRIPTION.fullmatch(line):
            what, name, value = described.groups()
            if what == "TYPE":
                assert name not in seen, "the lines of a family stand together, once"
                family, kind, told = name, value, []
                seen.add(name)
            assert name == family
            assert what not in told, "once each, and before the samples"
            if what == "UNIT":
                assert name.endswith(f"_{value}")
            told.append(what)
            continue
        found = SAMPLE.fullmatch(line)
        assert found, line
        assert found[1] == family + SUFFIXES[kind]
        told.extend(["TYPE", "UNIT", "HELP"])
        key = line.rpartition(" ")[0]
        assert key not in samples
        samples[key] = float(found[3])
        if kind == "stateset":
            assert f'{family}="' in line
            assert samples[key] in (0, 1)
    return samples


async def test_the_socket_tells_them(ask: Caller) -> None:
    answer = await ask("GET", "/v1/metrics")

    kind = answer.headers["content-type"]
    assert kind == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    samples = checked(answer.body.decode())
    assert samples['fieldsync_info{version="1.2.3"}'] == 1
    assert samples['fieldsync_state{fieldsync_state="idle"}'] == 1
    assert samples['fieldsync_state{fieldsync_state="syncing"}'] == 0
    assert samples["fieldsync_runs_total"] == 0
    assert samples['fieldsync_part_alive{part="runs"}'] == 1


async def test_they_say_what_the_status_says(appliance: FakeAppliance, clock: VirtualClock) -> None:
    name = 'wet\\land "é"\n'
    moment = datetime(2024, 5, 1, tzinfo=UTC)
    full = replace(
        appliance.status(),
        maps=(
            MapStatus(
                name=name, folder="f", edits=5, conflicts=2, quarantined=1, last_sync_at=moment
            ),
            MapStatus(
                name="b", folder="g", edits=None, conflicts=0, quarantined=0, last_sync_at=None
            ),
        ),
        conditions=DeviceConditions(
            disk_free_bytes=5,
            disk_total_bytes=10,
            is_disk_read_only=True,
            is_undervoltage=False,
            temperature_c=55.5,
            battery_percent=50,
        ),
        modem=ModemStatus(mode="direct", state="online", signal_dbm=-91),
        clock=ClockStatus(now=moment, trust=ClockTrust.MODEM),
    )

    samples = checked(text_of(families(full, appliance.health())))

    escaped = 'wet\\\\land \\"é\\"\\n'
    assert samples[f'fieldsync_map_edits{{map="{escaped}"}}'] == 5
    assert 'fieldsync_map_edits{map="b"}' not in samples
    assert samples[
        f'fieldsync_map_last_sync_timestamp_seconds{{map="{escaped}"}}'
    ] == pytest.approx(moment.timestamp())
    assert samples["fieldsync_temperature_celsius"] == 55.5
    assert samples["fieldsync_battery_ratio"] == 0.5
    assert samples["fieldsync_disk_read_only"] == 1
    assert samples["fieldsync_modem_signal_dbm"] == -91
    assert samples['fieldsync_clock_trust{fieldsync_clock_trust="modem"}'] == 1
    assert samples['fieldsync_link_bytes{interface="wlan0",class="wifi",direction="sent"}']


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (True, "1"),
        (1.5, "1.5"),
        (1e300, "1e+300"),
        (-(2**40), "-1099511627776"),
        (float("inf"), "+Inf"),
        (float("-inf"), "-Inf"),
        (float("nan"), "NaN"),
    ],
)
def test_numbers_are_written_as_the_specification_has_them(value: float, text: str) -> None:
    family = MetricFamily(
        name="x", kind=MetricKind.GAUGE, help="X.", samples=(Sample(value=value),)
    )

    assert text_of([family]).splitlines()[-2] == f"x {text}"
    checked(text_of([family]))


def family(**changes: object) -> MetricFamily:
    usual = MetricFamily(name="a_b", kind=MetricKind.GAUGE, help="", samples=(Sample(value=1),))
    return replace(usual, **changes)  # type: ignore[arg-type]  # members of a family


@pytest.mark.parametrize(
    "wrong",
    [
        [family(), family()],
        [family(name="a-b")],
        [family(name="a_total")],
        [family(unit="seconds")],
        [family(samples=(Sample(value=1), Sample(value=2)))],
        [family(samples=(Sample(value=1, labels={"a-b": "c"}),))],
        [family(kind=MetricKind.COUNTER, samples=(Sample(value=-1),))],
        [family(kind=MetricKind.STATESET)],
    ],
)
def test_what_no_reader_would_take_is_a_fault(wrong: list[MetricFamily]) -> None:
    with pytest.raises(ValueError, match=r"a[-_]"):
        text_of(wrong)
