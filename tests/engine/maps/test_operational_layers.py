"""The layers of a map as its web map has them: their order, what they show, how they are drawn."""

from collections.abc import Mapping
from typing import Any

import pytest

from engine.errors import EngineError, MapError
from engine.geodatabase.feature_table import FeatureTable
from engine.maps.operational_layers import OperationalLayer, operational_layers
from tests.engine.geodatabase import schemas

Json = dict[str, Any]

URL = schemas.URL
SIMPLE = {"renderer": {"type": "simple"}}


class Table:
    """A feature table, as far as a layer of the map asks for it."""

    def __init__(self, number: int, geometry: str | None, drawing_info: object) -> None:
        self.schema = schemas.layer(number, f"Layer {number}", geometry, drawingInfo=drawing_info)
        self.layer_id, self.name, self.geometry_type = number, self.schema.name, geometry


def layer(number: int, **more: object) -> Json:
    return {"id": f"l{number}", "title": f"Title {number}", "url": f"{URL}/{number}", **more}


def layers_of(
    operational: list[Json],
    *numbers: int,
    tables: list[Json] | None = None,
    missing: Mapping[str, EngineError] | None = None,
    drawing_info: Json | None = None,
) -> list[OperationalLayer]:
    """The map's layers, of a service whose layers ``numbers`` are on the device; 9 is a table."""
    made: list[Any] = [
        Table(n, None if n == 9 else "esriGeometryPoint", drawing_info) for n in numbers
    ]
    listed: list[FeatureTable] = made
    definition = {"operationalLayers": operational, "tables": tables or []}
    return operational_layers(definition, "", {URL: listed}, missing or {})


def test_layers_come_in_the_maps_own_order_then_tables() -> None:
    group = {"id": "g", "layerType": "GroupLayer", "layers": [layer(2), layer(0)]}

    found = layers_of([layer(1), group], 0, 1, 2, 9, tables=[layer(9)])

    assert [one.title for one in found] == ["Title 1", "Title 2", "Title 0", "Title 9"]
    assert [one.is_table for one in found] == [False, False, False, True]


def test_a_layer_that_is_there_twice_has_the_same_table_and_its_own_condition() -> None:
    where = {"layerDefinition": {"definitionExpression": "a = 1"}}

    first, second = layers_of([layer(0, **where), layer(0)], 0)

    assert first.feature_table is second.feature_table is not None
    assert (first.definition_expression, second.definition_expression) == ("a = 1", "")


def test_visibility_and_opacity_count_the_groups_in() -> None:
    inner = {
        "id": "i",
        "layerType": "GroupLayer",
        "opacity": 0.5,
        "layers": [layer(0, opacity=0.5)],
    }
    hidden = {"id": "h", "layerType": "GroupLayer", "visibility": False, "layers": [layer(1)]}

    first, second, third = layers_of([inner, hidden, layer(2, visibility=False)], 0, 1, 2)

    assert (first.is_visible, first.opacity) == (True, 0.25)
    assert (second.is_visible, third.is_visible) == (False, False)


@pytest.mark.parametrize(("given", "used"), [(2, 1.0), (-1, 0.0), ("x", 1.0), (None, 1.0)])
def test_opacity_that_makes_no_sense_is_brought_into_range(given: object, used: float) -> None:
    (found,) = layers_of([layer(0, opacity=given)], 0)

    assert found.opacity == used


def test_the_web_maps_symbols_go_before_those_of_the_service() -> None:
    own = {"renderer": {"type": "uniqueValue"}}
    definition = {"layerDefinition": {"drawingInfo": own}}

    first, second = layers_of([layer(0, **definition), layer(1)], 0, 1, drawing_info=SIMPLE)

    assert first.drawing_info == own
    assert second.drawing_info == SIMPLE


def test_a_layer_without_symbols_says_so() -> None:
    (found,) = layers_of([layer(0)], 0)

    assert found.drawing_info == {}


def test_a_layer_that_was_not_taken_tells_why() -> None:
    missing = {"l1": MapError("it is broken")}

    first, second, third = layers_of(
        [layer(1), layer(2), layer(3, featureCollection={})], missing=missing
    )

    assert (first.feature_table, first.reason) == (None, "it is broken")
    assert second.reason == "it was not taken"
    assert third.reason == "its features stand in the web map"


def test_a_layer_that_its_author_keeps_online_needs_no_reason() -> None:
    definition = {
        "operationalLayers": [layer(0)],
        "applicationProperties": {"offline": {"connectedOnlineLayers": [{"id": "l0"}]}},
    }

    (found,) = operational_layers(definition, "", {}, {})

    assert (found.feature_table, found.reason) == (None, "")


def test_what_the_web_map_does_not_name_lies_below_in_the_services_order() -> None:
    found = layers_of([layer(1)], 0, 1, 2, 9)

    assert [one.title for one in found] == ["Layer 2", "Layer 0", "Title 1", "Layer 9"]


def test_a_web_map_that_cannot_be_read_leaves_the_tables() -> None:
    (found,) = operational_layers({}, "", {URL: [Table(0, "esriGeometryPoint", None)]}, {})  # type: ignore[list-item]

    assert found.title == "Layer 0"
