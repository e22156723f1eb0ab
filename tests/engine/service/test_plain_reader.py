"""Reading result files: any member order, any window, anything wrong; and little memory."""

import json
import math
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from engine.errors import ProtocolError
from engine.service.replica_file import generations
from tests.engine.service.plain_reader import (
    Item,
    ReplicaHeader,
    Section,
    read_rows,
    scan,
)

S = Section
Pairs = list[tuple[str, Any]]


def read(
    folder: Path, text: str | bytes, window_bytes: int = 64 * 1024
) -> tuple[ReplicaHeader, list[Item]]:
    """Both passes over a file of that text."""
    path = folder / "result.json"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    header = scan(path, window_bytes=window_bytes)
    return header, list(read_rows(path, header, window_bytes=window_bytes))


def told(items: list[Item]) -> list[tuple[int, Section, object]]:
    return [(item.layer_id, item.section, item.value) for item in items]


# --- random documents against json.loads ----------------------------------------------------------

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8"), max_size=8)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abé😀", max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
ITEMS = st.none() | st.lists(VALUES, max_size=3)


def members(**options: st.SearchStrategy[Any]) -> st.SearchStrategy[Pairs]:
    """Some of the members, in any order."""
    names = st.lists(st.sampled_from(sorted(options)), unique=True)
    order = names.flatmap(st.permutations)
    return order.flatmap(lambda chosen: st.tuples(*(member(n, options[n]) for n in chosen))).map(
        list
    )


def member(name: str, value: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[str, Any]]:
    spellings = st.sampled_from([name, name, name.lower(), name.upper()])
    return st.tuples(spellings, value)


RESULTS = dict.fromkeys(("addResults", "updateResults", "deleteResults"), ITEMS)
CHANGES = members(
    adds=ITEMS, updates=ITEMS, deletes=ITEMS, deleteIds=ITEMS, other=VALUES, **RESULTS
)
ENTRY = st.tuples(
    st.integers(0, 4),
    members(
        features=ITEMS | CHANGES.map(tuple),
        attachments=ITEMS | CHANGES.map(tuple),
        addAttachmentResults=ITEMS,
        strange=VALUES,
        **RESULTS,
    ),
    st.integers(0, 9),
)
DOCUMENTS = members(
    replicaID=st.text("0123456789ABCDEF-", max_size=36),
    replicaServerGen=st.integers(0, 2**53),
    layers=st.none() | st.lists(ENTRY, max_size=3),
    edits=st.none() | st.lists(ENTRY, max_size=3),
    anything=VALUES,
)


def text_of(document: Pairs, draw: random.Random) -> str:
    """The document as JSON, with white space anywhere and escapes or not."""

    def space() -> str:
        return draw.choice(["", "", "", " ", "\n\t", "\r\n  "])

    def value(content: Any) -> str:
        return space() + json.dumps(content, ensure_ascii=draw.random() < 0.5) + space()

    def joined(pairs: list[tuple[str, str]]) -> str:
        inner = ",".join(f"{space()}{json.dumps(n)}{space()}:{text}" for n, text in pairs)
        return space() + "{" + (inner or space()) + "}" + space()

    def section(content: Any) -> str:
        if isinstance(content, tuple):  # changes: an object of lists
            return joined([(n, value(v)) for n, v in content])
        return value(content)

    def entry(content: tuple[int, Pairs, int]) -> str:
        layer_id, pairs, at = content
        texts = [(n, section(v)) for n, v in pairs]
        texts.insert(min(at, len(texts)), ("id", value(layer_id)))  # often after its features
        return joined(texts)

    def root(name: str, content: Any) -> str:
        if name.casefold() in ("layers", "edits") and content is not None:
            return space() + "[" + ",".join(map(entry, content)) + "]" + space()
        return value(content)

    return joined([(n, root(n, v)) for n, v in document])


def expected(text: str) -> Counter[str]:
    """What a file holds, found the plain way: as text, because values may be lists."""
    found: Counter[str] = Counter()

    def note(layer_id: int, section: Section, values: Any, operation: str = "") -> None:
        for value in values or []:
            found[f"{layer_id} {section.name} {operation} {json.dumps(value)}"] += 1

    def changes(layer_id: int, content: dict[str, Any], prefix: str) -> None:
        for name, values in content.items():
            folded = name.casefold().replace("attachment", "")
            if folded in ("adds", "updates", "deletes", "deleteids"):
                section = "DELETES" if folded == "deleteids" else folded.upper()
                note(layer_id, Section[prefix + section], values)
            elif folded in ("addresults", "updateresults", "deleteresults"):
                attachments = prefix or "attachment" in name.casefold()
                section = "ATTACHMENT_RESULTS" if attachments else "RESULTS"
                note(layer_id, Section[section], values, folded.removesuffix("results"))

    document = {name.casefold(): value for name, value in json.loads(text).items()}
    for entry in [*(document.get("layers") or []), *(document.get("edits") or [])]:
        folded = {name.casefold(): value for name, value in entry.items()}
        for name, prefix in (("features", ""), ("attachments", "ATTACHMENT_")):
            content = folded.get(name)
            if isinstance(content, dict):
                changes(entry["id"], content, prefix)
            else:
                note(entry["id"], S.ATTACHMENTS if prefix else S.FEATURES, content)
        changes(entry["id"], {n: v for n, v in entry.items() if "esult" in n.casefold()}, "")
    return found


@settings(max_examples=150, deadline=None, derandomize=True)
@given(DOCUMENTS, st.integers(0, 2**32), st.sampled_from([1, 2, 3, 7, 16, 50, 65536]))
def test_a_document_in_any_order_and_window_gives_all_it_holds(
    tmp_path_factory: pytest.TempPathFactory, document: Pairs, seed: int, window_bytes: int
) -> None:
    text = text_of(document, random.Random(seed))
    folder = tmp_path_factory.getbasetemp()

    header, items = read(folder, text, window_bytes)

    found = Counter(
        f"{i.layer_id} {i.section.name} {i.operation} {json.dumps(i.value)}" for i in items
    )
    assert found == expected(text)
    assert header.counts == Counter((i.layer_id, i.section) for i in items)
    rest = {n: v for n, v in json.loads(text).items() if n.casefold() not in ("layers", "edits")}
    assert header.members == rest


SAMPLE = json.dumps(
    {
        "replicaID": "{A}",
        "layerServerGens": [{"id": 0, "serverGen": 12}],
        "edits": [
            {
                "features": {"adds": [{"x": -1.5e-3}, {"n": "é😀\\\u0007"}], "deleteIds": ["{G}"]},
                "attachments": {"adds": None, "deletes": ["{H}"]},
                "addResults": [{"success": True}],
                "id": 0,
            }
        ],
        "layers": [{"id": 1, "features": [None, {"a": []}], "attachments": [{}]}],
    },
    ensure_ascii=False,
)


@pytest.mark.parametrize("window_bytes", [1, 5, 65536])
def test_a_file_cut_at_any_byte_is_refused(tmp_path: Path, window_bytes: int) -> None:
    data = SAMPLE.encode()

    for length in range(len(data)):
        with pytest.raises(ProtocolError, match="the result file"):
            read(tmp_path, data[:length], window_bytes)


@pytest.mark.parametrize("window_bytes", range(1, 12))
@pytest.mark.parametrize(
    "number",
    ["0", "-0", "12345678901", "1.5", "-1.25e-3", "1E+10", "1e5", "0.1", "9007199254740993"],
)
def test_a_number_at_the_edge_of_a_window_is_read_whole(
    number: str, window_bytes: int, tmp_path: Path
) -> None:
    text = f'{{"a":{number},"layers":[{{"id":12,"features":[{number},{number}]}}],"z":{number}}}'

    header, items = read(tmp_path, text, window_bytes)

    assert header.members == {"a": json.loads(number), "z": json.loads(number)}
    assert told(items) == [(12, S.FEATURES, json.loads(number))] * 2


@pytest.mark.parametrize("window_bytes", range(1, 9))
@pytest.mark.parametrize("name", ["😀é", "\\ud83d\\ude00", '\\"\\\\', "\\u00e9"])
def test_a_character_may_lie_across_windows(name: str, window_bytes: int, tmp_path: Path) -> None:
    text = f'{{"a":"{name}","b":["{name}"]}}'

    header, _ = read(tmp_path, text, window_bytes)

    assert header.members == json.loads(text)


# --- where things may stand -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        ({"addResults": [{}]}, [(S.RESULTS, "add")]),
        ({"UpdateResults": [{}]}, [(S.RESULTS, "update")]),
        ({"features": {"deleteResults": [{}]}}, [(S.RESULTS, "delete")]),
        ({"attachments": {"addResults": [{}]}}, [(S.ATTACHMENT_RESULTS, "add")]),
        ({"addAttachmentResults": [{}]}, [(S.ATTACHMENT_RESULTS, "add")]),
        ({"deleteAttachmentsResults": [{}]}, [(S.ATTACHMENT_RESULTS, "delete")]),
        ({"attachmentResults": {"updateResults": [{}]}}, [(S.ATTACHMENT_RESULTS, "update")]),
        ({"attachmentResults": [{}]}, []),  # of which operation, nobody knows
        ({"addResults": {"of": "another kind"}}, []),
        ({"addResults": None}, []),
        ({"features": {"addResults": None, "adds": []}}, []),
        ({"features": None, "attachments": None}, []),
        ({"features": {"adds": None, "updates": None, "deleteIds": None}}, []),
    ],
)
def test_edit_results_are_found_wherever_they_are(
    entry: dict[str, Any], found: list[tuple[Section, str]], tmp_path: Path
) -> None:
    _, items = read(tmp_path, json.dumps({"edits": [{"id": 5, **entry}]}))

    assert [(item.section, item.operation) for item in items] == found


@pytest.mark.parametrize(
    ("document", "replaced"),
    [
        ({"layers": [{"id": 1, "features": []}]}, {1}),
        ({"layers": [{"features": [{}], "id": 1}, {"id": 2, "features": []}]}, {1, 2}),
        # A perLayer answer may mix a snapshot of one layer with the changes of another.
        ({"layers": [{"id": 1, "features": []}], "edits": [{"id": 2, "features": {}}]}, {1}),
        ({"edits": [{"id": 2, "features": []}], "layers": [{"id": 1, "features": []}]}, {1}),
        # No list is no word of there being no rows: a schema, or the service's own resource.
        ({"layers": [{"id": 1, "name": "Trees"}]}, set()),
        ({"layers": [{"id": 1, "features": None}]}, set()),
        ({"layers": [{"id": 1, "attachments": []}]}, set()),
        ({"layers": [{"id": 1, "features": {"adds": []}}]}, set()),
        ({"layers": None, "edits": []}, set()),
    ],
)
def test_only_a_list_of_all_rows_replaces_a_layer(
    document: dict[str, Any], replaced: set[int], tmp_path: Path
) -> None:
    header, _ = read(tmp_path, json.dumps(document))

    assert header.replaced == replaced


def test_a_byte_order_mark_is_passed(tmp_path: Path) -> None:
    header, _ = read(tmp_path, b'\xef\xbb\xbf{"replicaID":"a"}', 1)

    assert header.members == {"replicaID": "a"}


def test_numbers_without_a_json_form_come_as_they_are(tmp_path: Path) -> None:
    _, items = read(tmp_path, '{"layers":[{"id":0,"features":[NaN,-Infinity,1e999]}]}', 3)

    values = [item.value for item in items]
    assert math.isnan(values[0])  # type: ignore[arg-type]  # the decoder of rows refuses it by name
    assert values[1:] == [-math.inf, math.inf]


# --- generations ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("envelope", "replica", "layers"),
    [
        ({"replicaServerGen": 5}, 5, {}),
        ({"REPLICASERVERGEN": 5.0}, 5, {}),
        ({"replicaServerGen": "1653614103746"}, 1653614103746, {}),
        ({"layerServerGens": [{"id": 0, "serverGen": 7}]}, None, {0: 7}),
        ({"layerServerGens": '[{"id": 0, "serverGen": 7}]'}, None, {0: 7}),
        ({"layerServerGens": "no list"}, None, {}),
        ({"layerServerGens": "[" * 100_000}, None, {}),
        ({"layerServerGens": [None, {"id": 1}, {"id": True, "serverGen": 2}]}, None, {}),
        ({"replicaServerGen": True, "layerServerGens": None}, None, {}),
        ({"replicaServerGen": "²"}, None, {}),
        ({"replicaServerGen": math.inf}, None, {}),
        ({}, None, {}),
    ],
)
def test_generations_are_read_in_every_spelling(
    envelope: dict[str, object], replica: int | None, layers: dict[int, int]
) -> None:
    assert generations(envelope) == (replica, layers)
