"""The decoder against plain Python, and against itself however its input is cut."""

import contextlib
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, strategies as st

from native.decoder import Decoder, Event, decode
from native.errors import DecodeError, ErrorCode
from tests.native import oracle
from tests.native.documents import LAYERS, documents


def decoded(text: bytes, sizes: list[int]) -> oracle.Content:
    def chunks() -> Iterator[bytes]:
        at, turn = 0, 0
        while at < len(text):
            size = sizes[turn % len(sizes)]
            yield text[at : at + size]
            at, turn = at + size, turn + 1

    return oracle.collect(decode(chunks, LAYERS))


def in_entry_order(content: oracle.Content) -> oracle.Content:
    """Late layers come in a second pass: compare what does not depend on it."""
    content.rows.sort(key=repr)
    content.partial.sort(key=repr)
    content.deletes.sort(key=repr)
    content.attachments.sort(key=repr)
    content.results.sort(key=repr)
    return content


@given(documents(), st.booleans(), st.sampled_from([None, 1]))
def test_agrees_with_the_oracle(document: Any, ascii_only: bool, indent: int | None) -> None:
    text = json.dumps(document, ensure_ascii=ascii_only, indent=indent).encode()

    found = decoded(text, [len(text)])

    assert in_entry_order(found) == in_entry_order(oracle.decode(document, LAYERS))


@given(documents(), st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_any_cut_of_the_input_gives_the_same(document: Any, sizes: list[int]) -> None:
    text = json.dumps(document, ensure_ascii=False).encode()

    assert decoded(text, sizes) == decoded(text, [1]) == decoded(text, [len(text)])


@given(documents(), st.data())
def test_every_truncation_is_an_error(document: Any, data: st.DataObject) -> None:
    text = json.dumps(document).encode()
    size = data.draw(st.integers(0, len(text) - 1))

    with pytest.raises(DecodeError) as caught:
        decoded(text[:size], [7])
    assert caught.value.code is ErrorCode.TRUNCATED
    assert caught.value.offset == size


SAMPLE: dict[str, Any] = {
    "replicaID": "{A}",
    "edits": [
        {
            "id": 0,
            "features": {
                "adds": [
                    {
                        "geometry": {"x": 1.5, "y": -2},
                        "attributes": {
                            "OBJECTID": 1,
                            "GlobalID": "{F0C5D0A0-0000-4000-8000-00000000000A}",
                            "Höhe": 1e-7,
                            "Note": 'a"\\ü',
                            "Seen": 1600000000000,
                        },
                    }
                ],
                "deleteIds": ["F0C5D0A0-0000-4000-8000-00000000000B", 4],
            },
            "attachments": {"adds": [{"name": "a", "data": "aGVsbG8="}]},
        },
        {"id": 7, "features": {"updates": [{"geometry": {"paths": [[[1, 2, 3], [4, 5, 6]]]}}]}},
    ],
}


def drain(text: bytes) -> list[Event]:
    decoder = Decoder(LAYERS)
    return [*decoder.feed(text), *decoder.finish()]


def test_every_flipped_bit_is_an_error_or_well_formed_rows() -> None:
    text = json.dumps(SAMPLE, ensure_ascii=False).encode()
    widths = {layer.id: len(layer.columns) + (layer.geometry_type is not None) for layer in LAYERS}
    for bit in range(len(text) * 8):
        broken = bytearray(text)
        broken[bit // 8] ^= 1 << bit % 8
        with contextlib.suppress(DecodeError):
            for event in drain(bytes(broken)):
                for row in getattr(event, "rows", []):
                    flat = row[0] if isinstance(row[0], tuple) else row
                    assert len(flat) == widths[getattr(event, "layer_id", -1)]


def test_random_garbage_never_breaks_it() -> None:
    source = random.Random(23)
    text = json.dumps(SAMPLE).encode()
    for _ in range(2000):
        broken = bytearray(text)
        for _ in range(source.randint(1, 6)):
            at = source.randrange(len(broken))
            broken[at : at + source.randint(0, 9)] = source.choice(
                [b"", b'"', b"{", b"]", b"\\", b"null", b"[[[", b"1e999", source.randbytes(3)]
            )
        with contextlib.suppress(DecodeError):
            drain(bytes(broken))
