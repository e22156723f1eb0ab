"""docs/socket.md tells of every route, event and code, and of no other."""

import re

import pytest

from device.api import appliance, client, handlers, json_reading, problems
from device.api.events import EventKind
from device.api.limits import Limits
from device.api.requests import LONGEST_PAUSE_S
from device.api.routes import LARGEST_PAGE, PAGE, ROUTES
from engine import EngineError
from tests.sources import ROOT

pytestmark = pytest.mark.checkout

STREAMS_OWN = {"gap", "heartbeat", "end"}
AT_THE_CALLER = {"daemon-not-running", "no-answer"}
"""Codes of the client: no daemon says them."""


def text() -> str:
    return (ROOT / "docs/socket.md").read_text(encoding="utf-8")


def section(heading: str) -> str:
    return text().split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def first_cells(heading: str, count: int) -> list[list[str]]:
    rows = [line.strip("|").split("|") for line in section(heading).splitlines() if "`" in line]
    return [[cell.strip() for cell in row[:count]] for row in rows if len(row) > count]


def test_every_route_is_told_and_no_other() -> None:
    told = {(method, path.strip("`")) for method, path in first_cells("Routes", 2)}

    assert told == {(route.method, route.path) for route in ROUTES}


def test_every_event_is_told_and_no_other() -> None:
    told = {cell.strip("`") for (cell,) in first_cells("Events", 1)}

    assert told == {kind.value for kind in EventKind} | STREAMS_OWN | {"event"}


def test_every_code_of_the_socket_is_told() -> None:
    told = {
        code for (cell,) in first_cells("Problems", 1) for code in re.findall(r"`([^`]+)`", cell)
    }
    ours = {
        kind.code
        for module in (appliance, client, handlers, json_reading, problems)
        for kind in vars(module).values()
        if isinstance(kind, type)
        and issubclass(kind, EngineError)
        and kind.__module__.startswith("device.")
        and "code" in vars(kind)
    }

    assert ours - AT_THE_CALLER <= told


def test_the_limits_are_those_of_the_code() -> None:
    limits = Limits()

    for number in (
        limits.connections,
        limits.streams,
        limits.headers,
        f"{PAGE}, at most {LARGEST_PAGE}",
    ):
        assert str(number) in text()
    assert f"{limits.line_bytes // 1024} KiB" in section("Limits")
    assert f"{limits.body_bytes // 1024} KiB" in section("Limits")
    assert f"{limits.request_s:.0f} seconds to come" in section("Limits")
    assert limits.answer_s == limits.stall_s == 60
    assert LONGEST_PAUSE_S == 30 * 24 * 3600
