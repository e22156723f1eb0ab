"""Small parts on their own: parameters, GUIDs, clocks, figures."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, strategies as st

from tests.feature_service.clock import ManualClock, SkewedClock
from tests.feature_service.guid import Spelling, canonical, spell
from tests.feature_service.parameters import Parameters
from tests.feature_service.problem import ServiceError
from tests.feature_service.projection import mover
from tests.feature_service.spatial import figure_of, meets

_SQUARE = {"rings": [[[0, 0], [0, 10], [10, 10], [10, 0], [0, 0]]]}
_DONUT = {"rings": [*_SQUARE["rings"], [[4, 4], [6, 4], [6, 6], [4, 6], [4, 4]]]}


@pytest.mark.parametrize("text", ["0,1", "[0, 1]", "['0', '1']", " 0 , 1 "])
def test_items_when_spelled_in_any_way_then_the_same(text: str) -> None:
    assert Parameters([("Layers", text)]).integers("layers") == [0, 1]


def test_items_when_repeated_then_joined() -> None:
    assert Parameters([("layers", "0"), ("LAYERS", "1")]).integers("layers") == [0, 1]


@pytest.mark.parametrize(
    "text",
    [
        '[{"id": 0, "on": true, "off": null, "name": "it\'s true"}]',
        "[{'id': 0, 'on': True, 'off': None, 'name': \"it's true\"}]",
        "[{'id': 0, 'on': true, 'off': null, 'name': \"it's true\"}]",
    ],
)
def test_json_when_single_quoted_then_read(text: str) -> None:
    found = Parameters([("edits", text)]).json("edits")

    assert found == [{"id": 0, "on": True, "off": None, "name": "it's true"}]


@pytest.mark.parametrize("text", ["[1, 2", "{x}", "__import__('os')", "[" * 500])
def test_json_when_it_is_none_then_refused(text: str) -> None:
    with pytest.raises(ServiceError, match="'edits' parameter is invalid"):
        Parameters([("edits", text)]).json("edits")


@pytest.mark.parametrize(("text", "value"), [("True", True), ("1", True), ("false", False)])
def test_flag_when_spelled_in_any_way_then_read(text: str, value: bool) -> None:
    assert Parameters([("async", text)]).flag("ASYNC") is value


def test_parameter_when_empty_then_absent() -> None:
    parameters = Parameters([("where", "  "), ("f", "json")])

    assert not parameters.has("where")
    assert parameters.flag("async", True) is True


@given(st.uuids())
def test_guid_when_spelled_and_read_again_then_the_same(value: Any) -> None:
    kept = canonical(str(value))

    assert kept == f"{{{str(value).upper()}}}"
    spellings: tuple[Spelling, ...] = ("braces-upper", "braces-lower", "upper", "lower")
    assert {canonical(spell(kept, one)) for one in spellings} == {kept}


@pytest.mark.parametrize("text", ["", "{}", "abc", None, 7, f"{{{UUID(int=7)}}}0"])
def test_guid_when_it_is_none_then_none(text: object) -> None:
    assert canonical(text) is None


@given(
    st.floats(min_value=-179, max_value=179),
    st.floats(min_value=-85, max_value=85),
)
def test_projection_when_there_and_back_then_the_same(x: float, y: float) -> None:
    there, back = mover(4326, 3857), mover(3857, 4326)
    assert there is not None
    assert back is not None

    assert back(*there(x, y)) == pytest.approx((x, y), abs=1e-9)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (_SQUARE, {"x": 5, "y": 5}, True),
        (_SQUARE, {"x": 11, "y": 5}, False),
        (_SQUARE, {"x": 10, "y": 5}, True),
        (_DONUT, {"x": 5, "y": 5}, False),
        (_DONUT, {"paths": [[[4.5, 5], [5.5, 5]]]}, False),
        (_DONUT, {"paths": [[[4.5, 5], [9, 5]]]}, True),
        (_SQUARE, {"paths": [[[-5, 5], [15, 5]]]}, True),
        (_SQUARE, {"paths": [[[-5, 11], [15, 11]]]}, False),
        (_SQUARE, {"rings": [[[-1, -1], [-1, 11], [11, 11], [11, -1], [-1, -1]]]}, True),
        (_SQUARE, {"rings": [[[20, 0], [20, 1], [21, 1], [20, 0]]]}, False),
        (_SQUARE, {"points": [[20, 20], [1, 1]]}, True),
        ({"paths": [[[0, 0], [10, 10]]]}, {"paths": [[[0, 10], [10, 0]]]}, True),
        ({"paths": [[[0, 0], [1, 1]]]}, {"paths": [[[2, 2], [3, 3]]]}, False),
        ({"x": 1, "y": 1}, {"x": 1, "y": 1}, True),
        ({"x": None, "y": None}, _SQUARE, False),
    ],
)
def test_meets_when_figures_touch_or_not_then_told(one: Any, other: Any, expected: bool) -> None:
    assert meets(figure_of(one), figure_of(other)) is expected
    assert meets(figure_of(other), figure_of(one)) is expected


async def test_manual_clock_when_advanced_then_wakes_in_order() -> None:
    clock = ManualClock(0)
    woken: list[int] = []

    async def wait(delay_s: int) -> None:
        await clock.sleep(delay_s)
        woken.append(delay_s)

    tasks = [asyncio.create_task(wait(delay_s)) for delay_s in (3, 1, 2)]
    await asyncio.sleep(0)
    clock.advance(2)
    await asyncio.gather(*tasks[1:])
    assert woken == [1, 2]
    clock.advance(1)
    await tasks[0]

    assert (clock.now_ms(), clock.sleepers) == (3000, 0)
    assert SkewedClock(clock, -5).now_ms() == -2000
