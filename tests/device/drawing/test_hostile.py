"""Maps that mean harm: whatever their names and symbols are, the drawing is a drawing."""

import asyncio
import base64
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from device.drawing.renderers import make_renderer
from device.drawing.svg import escaped, tag
from engine import ShapeKind
from engine.geodatabase.geodatabase import Geodatabase
from tests.device.drawing.maps import (
    HREF,
    SVG,
    add_refusal,
    drawn_by,
    entry,
    layer,
    make_map,
    picture_of,
    point,
)

NASTY = [
    '"><script>alert(1)</script>',
    "]]><!-- & &amp; <x y='z'>",
    "a\x00b\x1b[31m\x85\u202ec\ufffe\udc80",
    "url(https://example.com/x)",
    "}</style><style>*{display:none}",
    "\n\t  many   spaces \n",
    "名" * 400,
    "{id}",
]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(NASTY)
VALUES = st.recursive(
    SCALARS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)
SYMBOLS = st.fixed_dictionaries(
    {"type": st.sampled_from(["esriSMS", "esriSLS", "esriSFS", "esriPMS", "esriPFS", "esriTS", 7])},
    optional=dict.fromkeys(
        (
            *("style", "color", "size", "width", "height", "angle", "xoffset", "yoffset"),
            *("imageData", "contentType", "url"),
        ),
        VALUES,
    )
    | {"outline": st.fixed_dictionaries({"color": VALUES, "width": VALUES, "style": VALUES})},
)
RENDERERS = st.fixed_dictionaries(
    {"type": st.sampled_from(["simple", "uniqueValue", "classBreaks", "heatmap", None])},
    optional={
        "symbol": SYMBOLS,
        "defaultSymbol": SYMBOLS,
        "field1": VALUES,
        "field": VALUES,
        "fieldDelimiter": VALUES,
        "uniqueValueInfos": st.lists(
            st.fixed_dictionaries({"value": VALUES, "label": VALUES, "symbol": SYMBOLS})
        ),
        "uniqueValueGroups": VALUES,
        "classBreakInfos": st.lists(
            st.fixed_dictionaries({"classMaxValue": VALUES, "label": VALUES, "symbol": SYMBOLS})
        ),
        "minValue": VALUES,
        "visualVariables": VALUES,
    },
)


def check_is_harmless(content: bytes) -> ElementTree.Element:
    """Well-formed, without scripts, and nothing in it leads outside."""
    root = ElementTree.fromstring(content)
    for one in root.iter():
        assert one.tag.startswith(SVG)
        assert one.tag not in (f"{SVG}script", f"{SVG}foreignObject", f"{SVG}a")
        for name, value in one.attrib.items():
            assert not name.lower().startswith("on")
            if name == HREF:
                assert value.startswith("#") or re.match(
                    r"data:image/(png|jpeg|gif);base64,[A-Za-z0-9+/=]*$", value
                )
            else:
                assert "http" not in value or name == "xmlns"
    (style,) = root.iter(f"{SVG}style")
    assert re.fullmatch(r"([.\w]+\{[\w\s:;#.,()'+-]*\}\s*)*", style.text or "")
    for url in re.findall(r"url\(([^)]*)\)", content.decode()):
        assert url.startswith("#") or "example.com" in url, "names may say what they like"
    assert "example.com" not in (style.text or "")
    return root


@given(st.text())
def test_any_text_is_content_of_an_element(text: str) -> None:
    (child,) = ElementTree.fromstring(
        tag("g", {"id": text}, tag("title", None, escaped(text)))
    ).iter("title")

    if text.isprintable():
        assert (child.text or "") == text


@given(
    RENDERERS,
    st.sampled_from(ShapeKind),
    st.lists(SCALARS, min_size=3, max_size=3),
)
@settings(max_examples=60, deadline=None)
def test_any_renderer_gives_each_value_a_class_or_none(
    renderer: dict[str, Any], kind: ShapeKind, cells: list[Any]
) -> None:
    made = make_renderer({"renderer": renderer}, kind, 3)

    assert made.classes
    found = made.class_of(cells[: len(made.fields)])
    assert -1 <= found < len(made.classes)
    for one in made.classes:
        symbol = one.symbol
        for xml in (symbol.marker, symbol.pattern):
            if xml:
                ElementTree.fromstring(f'<g xmlns:xlink="x">{xml}</g>')
        assert re.fullmatch(r"[\w\s:;#.,(){}-]*", symbol.css)
        assert (symbol.size_px > 0) == bool(symbol.marker)


@pytest.mark.parametrize("name", NASTY)
async def test_any_name_leaves_the_drawing_whole(tmp_path: Path, name: str) -> None:
    symbol = {"type": "esriSMS", "style": name, "color": [name, 1, 2], "outline": {"style": name}}
    info = {"value": "oak", "label": name, "symbol": symbol}
    renderer = {"type": "uniqueValue", "field1": "kind", "uniqueValueInfos": [info]}
    definition = {
        "operationalLayers": [
            entry(0, name, layerDefinition={"drawingInfo": {"renderer": renderer}}),
            {"id": name, "title": name, "url": name},
        ]
    }
    folder = await make_map(
        tmp_path / "map",
        [(layer(), [point(1, 0, 0, "oak"), point(2, 9, 9, "oak")])],
        title=name.encode(errors="replace").decode(),
        definition=definition,
    )
    async with await Geodatabase.open(folder / "Trees.gpkg") as geodatabase:
        await add_refusal(geodatabase, 1, name.replace("\udc80", ""))

    picture = await drawn_by(folder)

    check_is_harmless(picture.content)
    assert len(picture.symbols("layer-0")) == 2
    assert picture.marks() == {"quarantined": 1}


@given(RENDERERS)
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_symbols_leave_the_drawing_whole(
    tmp_path_factory: pytest.TempPathFactory, renderer: dict[str, Any]
) -> None:
    folder = tmp_path_factory.mktemp("any") / "map"
    rows = [point(1, 0, 0, "oak"), point(2, 9, 9, NASTY[0])]

    drawn = {"drawingInfo": {"renderer": renderer}}
    definition = {"operationalLayers": [entry(0, "x", layerDefinition=drawn)]}
    asyncio.run(make_map(folder, [(layer(), rows)], definition=definition))

    check_is_harmless(picture_of(folder).content)


PNG = b"\x89PNG\r\n\x1a\n" + b"rest"


@pytest.mark.parametrize(
    ("data", "is_used"),
    [
        (base64.b64encode(PNG).decode(), True),
        (base64.b64encode(b"\xff\xd8\xff\xe0").decode(), True),
        (base64.b64encode(b"GIF89a").decode(), True),
        (base64.b64encode(b"<svg onload='x()'/>").decode(), False),
        (base64.b64encode(PNG + bytes(200_000)).decode(), False),
        ("https://example.com/x.png", False),
        ('iVBORw0KGgo=" onload="x()', False),
        ("", False),
        (None, False),
        (7, False),
    ],
)
def test_only_data_that_is_a_small_picture_is_one(data: object, is_used: bool) -> None:
    symbol = {"type": "esriPMS", "url": "https://example.com/x.png", "imageData": data}

    made = make_renderer({"renderer": {"type": "simple", "symbol": symbol}}, ShapeKind.POINTS, 0)

    marker = made.classes[0].symbol.marker
    assert ("<image" in marker) == is_used
    assert "example.com" not in marker
    assert bool(made.problems) != is_used
