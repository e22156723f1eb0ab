"""What the encoder writes the decoder reads back, whatever it is and however it is cut."""

import json
import marshal
import random
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given, strategies as st

from native._native import ffi, lib
from native.decoder import Decoder
from native.encoder import EditsEncoder, Form
from native.layer import ColumnType, Layer, LayerTable
from tests.native import oracle
from tests.native.documents import COLUMNS, LAYERS, guids, rows


@st.composite
def masked_rows(draw: st.DrawFn, layer: Layer) -> tuple[Any, ...]:
    width = len(layer.columns) + (layer.geometry_type is not None)
    mask = draw(st.integers(0, 2**width - 1))
    return mask.to_bytes(draw(st.integers((width + 7) // 8, 3)), "little"), *draw(rows(layer))


def expected_update(layer: Layer, masked: tuple[Any, ...]) -> tuple[Any, ...]:
    mask, row = int.from_bytes(masked[0], "little"), masked[1:]
    key = [column.name for column in layer.columns].index("GlobalID")
    gone = tuple(p for p in range(len(row)) if p != key and not mask >> p & 1)
    return tuple(None if p in gone else value for p, value in enumerate(row)), gone


@given(st.data(), st.sampled_from(Form), st.integers(1, 40), st.integers(1, 40))
def test_decode_of_encode_is_the_same(
    data: st.DataObject, form: Form, size_out: int, size_in: int
) -> None:
    content = oracle.Content()
    encoder = EditsEncoder(LAYERS, form=form, chunk_size=size_out)
    chunks: list[bytes] = []
    for layer in LAYERS:
        adds = data.draw(st.lists(rows(layer), max_size=3))
        updates = data.draw(st.lists(masked_rows(layer), max_size=3))
        deletes = data.draw(st.lists(guids(), max_size=2))
        photo = data.draw(st.lists(st.binary(max_size=9), max_size=3))
        chunks += encoder.adds(layer.id, adds)
        chunks += encoder.updates(layer.id, updates)
        chunks += encoder.deletes(layer.id, deletes)
        guid = oracle.guid(data.draw(guids()))
        chunks += encoder.attachment(
            layer.id,
            global_id=guid,
            parent_global_id=guid,
            name="a",
            content_type="b",
            data=photo,
        )
        content.rows += [(layer.id, 1, row) for row in adds]
        for masked in updates:
            row, gone = expected_update(layer, masked)
            if gone:
                content.partial.append((layer.id, row, gone))
            else:
                content.rows.append((layer.id, 2, row))
        content.deletes += [(layer.id, False, oracle.guid(i)) for i in deletes]
        content.attachments.append(
            (layer.id, 1, None, guid, guid, "b", "a", None, None, b"".join(photo))
        )
    chunks += encoder.finish()
    text = b"".join(chunks)
    json.loads(text)

    decoder = Decoder(LAYERS)
    events = [
        e for at in range(0, len(text), size_in) for e in decoder.feed(text[at : at + size_in])
    ]
    events += decoder.finish()

    assert oracle.collect(events) == content


def plain(layer: Layer, row: tuple[Any, ...]) -> dict[str, Any]:
    attributes = {}
    for column, value in zip(layer.columns, row, strict=False):
        if column.type is ColumnType.DATE and value is not None:
            value = (datetime.fromisoformat(value) - oracle.EPOCH) // timedelta(milliseconds=1)
        attributes[column.name] = value
    return {"attributes": attributes}


@given(st.lists(rows(Layer(id=1, columns=COLUMNS)), max_size=4))
def test_attributes_agree_with_plain_json(whole: list[tuple[Any, ...]]) -> None:
    layer = Layer(id=1, columns=COLUMNS)
    encoder = EditsEncoder([layer])

    text = b"".join([*encoder.adds(1, whole), *encoder.finish()])

    (entry,) = json.loads(text)
    assert entry["features"]["adds"] == [plain(layer, row) for row in whole]


def test_broken_batches_are_errors_or_text() -> None:
    source = random.Random(24)
    table = LayerTable(LAYERS)
    good = marshal.dumps(
        [("{F0C5D0A0-0000-4000-8000-00000000000A}", 2**40, 1.5), (None, -5, None)], 2
    )
    out = ffi.new("uint8_t[]", 4096)
    for turn in range(20_000):
        broken = bytearray(good)
        if turn < 8 * len(good):
            broken[turn // 8] ^= 1 << turn % 8
        else:
            broken[source.randrange(len(good))] = source.randrange(256)
            del broken[source.randrange(len(good)) :]
        progress = ffi.new("struct fs_encode_progress *")
        result = ffi.new("struct fs_result *")
        status = lib.fs_encode_rows(
            ffi.addressof(table.array, 1),
            lib.FS_ENCODE_ADDS,
            ffi.from_buffer(broken),
            len(broken),
            progress,
            out,
            4096,
            result,
        )
        assert status <= lib.FS_NEED_OUTPUT
        assert result.offset <= len(broken)
        if status == lib.FS_OK:
            json.loads(b"[" + ffi.buffer(out, result.size)[:] + b"]")
