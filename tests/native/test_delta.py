"""The delta file: both modes, blocks as the unit of resume, and what is refused."""

import io
import json
import random
import zlib
from collections.abc import Iterable
from dataclasses import replace
from hashlib import sha256
from itertools import pairwise
from time import process_time
from typing import Any

import pytest
from hypothesis import given, strategies as st

from native.delta import (
    MAGIC,
    Base,
    Block,
    DeltaHeader,
    DeltaReader,
    DeltaWriter,
    Operation,
    Section,
    digest,
)
from native.delta_pack import pack, varint
from native.errors import DeltaError, ErrorCode
from native.layer import Layer
from tests.native import oracle
from tests.native.documents import LAYERS, guids, rows as full_rows

BASES = {layer.id: Base(count=1000, digest=bytes(32)) for layer in LAYERS}


def header(based: bool, layers: tuple[Layer, ...] = LAYERS) -> DeltaHeader:
    return DeltaHeader(
        id=bytes(range(16)),
        service="https://example.test/arcgis/rest/services/Bäume/FeatureServer",
        replica="{F0C5D0A0-0000-4000-8000-00000000000A}",
        generation=2**53,
        layers=layers,
        bases=BASES if based else None,
    )


def reader(data: bytes, based: bool = False) -> DeltaReader:
    return DeltaReader(
        io.BytesIO(data).read,
        layers=LAYERS if based else None,
        expect_bases=BASES if based else None,
    )


def sections(blocks: Iterable[Block], base: dict[int, list[Any]] | None = None) -> list[Section]:
    def rows(layer_id: int, ranks: list[int]) -> list[Any]:
        return [base[layer_id][rank] for rank in ranks] if base else []

    return [section for block in blocks for section in block.sections(rows)]


def width(layer: Layer) -> int:
    return len(layer.columns) + (layer.geometry_type is not None)


def key_place(layer: Layer) -> int:
    return [column.name for column in layer.columns].index("GlobalID")


def carried(layer: Layer, masked: tuple[Any, ...]) -> tuple[Any, ...]:
    """A masked row as it comes back: its mask in the one spelling, None where it names nothing."""
    bits = int.from_bytes(masked[0], "little") & ~(1 << key_place(layer)) & (1 << width(layer)) - 1
    values = [value if bits >> place & 1 else None for place, value in enumerate(masked[1:])]
    return bits.to_bytes((width(layer) + 7) // 8, "little"), *values


@given(st.data(), st.booleans())
def test_everything_comes_back(data: st.DataObject, based: bool) -> None:
    writer = DeltaWriter(header(based))
    written: list[bytes] = []
    expected: list[Section] = []
    base = {layer.id: data.draw(st.lists(full_rows(layer), max_size=5)) for layer in LAYERS}
    for layer in LAYERS:
        rows = data.draw(st.lists(full_rows(layer), max_size=3))
        written += writer.adds(layer.id, rows)
        if rows:
            expected.append(
                Section(layer_id=layer.id, operation=Operation.ADDS, keys=[], rows=rows)
            )
        ranks = sorted(data.draw(st.sets(st.sampled_from(range(len(base[layer.id]) or 1)))))
        ranks = ranks if base[layer.id] else []
        keys: list[Any] = ranks
        if not based:
            keys = sorted({oracle.guid(data.draw(guids())) for _ in ranks})
            ranks = ranks[: len(keys)]
        masks = [data.draw(st.integers(0, 2**8 - 1)).to_bytes(1, "little") for _ in keys]
        changed = [(mask, *data.draw(full_rows(layer))) for mask in masks]
        old = [base[layer.id][rank] for rank in ranks] if based else None
        written += writer.updates(layer.id, keys, changed, old)
        if keys:
            back = [carried(layer, row) for row in changed]
            expected.append(
                Section(layer_id=layer.id, operation=Operation.UPDATES, keys=keys, rows=back)
            )
        written += writer.deletes(layer.id, keys)
        if keys:
            expected.append(
                Section(layer_id=layer.id, operation=Operation.DELETES, keys=keys, rows=[])
            )
    written += writer.finish()

    source = reader(b"".join(written), based)

    assert source.header == header(based)
    assert sections(source.blocks(), base) == expected


SOURCE = random.Random(28)


def guid() -> str:
    digits = f"{SOURCE.getrandbits(128):032X}"
    return f"{{{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}}}"


def sample(count: int = 10_000) -> tuple[bytes, list[tuple[Any, ...]]]:
    rows = [(n, guid(), float(n % 7)) for n in range(count)]
    writer = DeltaWriter(header(False, LAYERS[1:2]))
    data = b"".join([*writer.adds(1, rows), *writer.finish()])
    return data, rows


def test_large_batches_become_numbered_blocks() -> None:
    data, rows = sample()

    blocks = list(reader(data).blocks())

    assert [(block.number, block.edits) for block in blocks] == [(1, 4096), (2, 4096), (3, 1808)]
    assert [row for section in sections(blocks) for row in section.rows] == rows


def test_applied_blocks_are_passed_over() -> None:
    data, rows = sample()

    blocks = list(reader(data).blocks(applied=[1, 3]))

    assert [block.number for block in blocks] == [2]
    assert sections(blocks)[0].rows == rows[4096:8192]


def test_sections_share_a_block_and_large_values_do_not() -> None:
    writer = DeltaWriter(header(False))
    small = [(n, guid(), 0.5) for n in range(10)]
    large = [(n, guid(), 0.5, f"{n:05}" * 20_000, None, None, None) for n in range(40)]
    written = [
        *writer.adds(1, small),
        *writer.deletes(1, [row[1] for row in small]),
        *writer.adds(0, large),
        *writer.finish(),
    ]

    blocks = list(reader(b"".join(written)).blocks())

    assert len(blocks) > 2
    assert max(block.edits for block in blocks) < 40
    assert [row for s in sections(blocks) if s.layer_id == 0 for row in s.rows] == large


def test_updates_and_deletes_come_sorted_by_guid() -> None:
    writer = DeltaWriter(header(False, LAYERS[1:2]))
    keys = [guid() for _ in range(50)]
    rows = [(b"\x05", n, None, float(n)) for n in range(50)]
    written = [*writer.updates(1, keys, rows), *writer.deletes(1, keys), *writer.finish()]

    updates, deletes = sections(reader(b"".join(written)).blocks())

    assert updates.keys == deletes.keys == sorted(keys)
    assert dict(zip(updates.keys, updates.rows, strict=True)) == dict(zip(keys, rows, strict=True))


def test_an_empty_delta_is_a_header_and_an_end() -> None:
    data = b"".join(DeltaWriter(header(False)).finish())

    assert list(reader(data).blocks()) == []


def test_ranks_must_ascend_and_bases_must_be_there() -> None:
    row = (b"\x01", 1, None, None)
    based = DeltaWriter(header(True))

    with pytest.raises(ValueError, match="ranks must ascend"):
        list(based.deletes(1, [3, 3]))
    with pytest.raises(ValueError, match="a based delta needs base rows"):
        list(based.updates(1, [3], [row]))
    with pytest.raises(ValueError, match="2 keys for 1 rows"):
        list(based.updates(1, [3, 4], [row], [row[1:]]))
    with pytest.raises(KeyError):
        list(based.adds(77, []))


def read_all(data: bytes, options: dict[str, Any]) -> None:
    for block in DeltaReader(io.BytesIO(data).read, **options).blocks():
        list(block.sections())


def failure(data: bytes, **options: Any) -> ErrorCode:
    with pytest.raises(DeltaError) as caught:
        read_all(data, options)
    return caught.value.code


def test_another_base_or_schema_is_refused() -> None:
    data = b"".join(DeltaWriter(header(True)).finish())
    other = {**BASES, 0: Base(count=1001, digest=bytes(32))}

    assert failure(data) is ErrorCode.BASE
    assert failure(data, layers=LAYERS) is ErrorCode.BASE
    assert failure(data, layers=LAYERS[:3], expect_bases=BASES) is ErrorCode.BASE
    assert failure(data, layers=LAYERS, expect_bases=other) is ErrorCode.BASE
    assert list(reader(data, based=True).blocks()) == []


def test_another_format_or_version_is_refused() -> None:
    data, _ = sample(3)

    assert failure(b"PK\x03\x04" + data[4:]) is ErrorCode.HEADER
    assert failure(b"FSD\x00" + data[4:]) is ErrorCode.VERSION
    assert failure(b"FSD\x03" + data[4:]) is ErrorCode.VERSION
    assert failure(b"") is ErrorCode.TRUNCATED


FIRST_VERSION = bytes.fromhex(
    "46534401000102030405060708090a0b0c0d0e0f018c017d003d88ce6324f0207f67b874def9794afcf187e2fad7"
    "27722676127a75f3d3c0670db239ed5cc15c12dd079f56c3d4461b66c5ab5c549c359ae5c0baf1635f1d92af4a82"
    "00da52c9d3bd5ae6cfb78b32eadedd82d099bd0732dd2f360a0265931a283ffbabf6cc7a06474e5985778b850366"
    "af3b3ae87b2bffe7a13000d29ea726020101251f00000267fa5bdb1c05efa51c43a4a8fe684e0c9958c1dcb27d8d"
    "57feaaa0c00000011c1b00440040bbee39b909e8747db3dfde019cc03a8cabfffff9f14000703bc33700010250bd"
    "e6f7"
)


def test_a_delta_of_version_1_is_read() -> None:
    first = reader(FIRST_VERSION)

    added, deleted = sections(first.blocks())

    assert (first.version, first.seal, first.header.generation) == (1, None, 7)
    assert added.rows == [(5, "{00112233-4455-4677-8899-AABBCCDDEEFF}")]
    assert deleted.keys == ["{00112233-4455-4677-8899-AABBCCDDEEFF}"]


def test_what_else_is_agreed_on_comes_back_with_the_header() -> None:
    about = {"content": "edits", "generations": {"0": 5}, "name": "Bäume"}
    data = b"".join(DeltaWriter(replace(header(False), about=about)).finish())

    assert reader(data).header.about == about


def test_the_seal_is_the_hash_of_all_before_it() -> None:
    data = small_delta()
    sealed_delta = reader(data)

    sections(sealed_delta.blocks())

    assert sealed_delta.seal == sha256(data[:-36]).digest() == data[-36:-4]


def test_a_changed_block_with_a_right_checksum_breaks_the_seal() -> None:
    writer = DeltaWriter(header(False, LAYERS[1:2]))
    start, block, end = [*writer.deletes(1, [guid() for _ in range(20)]), *writer.finish()]
    changed = bytearray(block[:-4])
    changed[-1] ^= 1

    assert failure(start + sealed(bytes(changed)) + end) is ErrorCode.CHECKSUM


def test_photos_are_not_packed_in_vain() -> None:
    photo = random.Random(5).randbytes(1 << 20)
    started = process_time()

    assert pack(photo)[:1] == b"\0"
    assert process_time() - started < 0.5
    assert len(pack(b"a line of a log\n" * 65536)) < 4096


def small_delta() -> bytes:
    writer = DeltaWriter(header(False, LAYERS[:2]))
    rows = [(n, guid(), float(n)) for n in range(20)]
    keys = [row[1] for row in rows]
    written = [
        *writer.adds(1, rows),
        *writer.updates(1, keys, [(b"\x05", *row) for row in rows]),
        *writer.deletes(1, keys),
        *writer.finish(),
    ]
    return b"".join(written)


def test_every_truncation_is_an_error() -> None:
    data = small_delta()
    for size in range(len(data)):
        assert failure(data[:size]) is ErrorCode.TRUNCATED


def test_every_flipped_bit_is_an_error() -> None:
    data = small_delta()
    for bit in range(8 * len(data)):
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << bit % 8
        assert failure(bytes(broken)) is not None


def test_blocks_of_another_delta_do_not_fit() -> None:
    first = list(DeltaWriter(header(False, LAYERS[1:2])).finish())
    other = DeltaHeader(id=bytes(16), service="", replica="", generation=0, layers=LAYERS[1:2])
    second = list(DeltaWriter(other).finish())

    assert failure(first[0] + second[1]) is ErrorCode.CHECKSUM


def test_missing_and_repeated_blocks_are_noticed() -> None:
    writer = DeltaWriter(header(False, LAYERS[1:2]))
    rows = [(n, guid(), float(n)) for n in range(9000)]
    start, one, two, three, end = [*writer.adds(1, rows), *writer.finish()]

    assert failure(start + one + three + end) is ErrorCode.SYNTAX
    assert failure(start + one + one + two + three + end) is ErrorCode.SYNTAX
    assert failure(start + one + two + end) is ErrorCode.SYNTAX


def sealed(block: bytes) -> bytes:
    """A block with a right checksum, whatever is in it."""
    return block + zlib.crc32(bytes(range(16)) + block).to_bytes(4, "little")


def test_sealed_nonsense_is_an_error() -> None:
    writer = DeltaWriter(header(False, LAYERS[:2]))
    rows = [(n, guid(), float(n)) for n in range(20)]
    start, block, end = [*writer.adds(1, rows), *writer.finish()]
    source = random.Random(29)
    for _ in range(4000):
        broken = bytearray(block[:-4])
        for _ in range(source.randint(1, 3)):
            broken[source.randrange(len(broken))] = source.randrange(256)
        try:
            found = sections(reader(start + sealed(bytes(broken)) + end).blocks())
        except DeltaError:
            continue
        assert all(len(row) == 3 for section in found for row in section.rows)


def test_sealed_header_nonsense_is_an_error() -> None:
    for content in (b"", b"[]", b"{}", b'{"layers":[[1]]}', b'{"layers":[],"service":1}'):
        body = MAGIC + bytes(16) + bytes([0, len(content)]) + content

        assert failure(body + zlib.crc32(body).to_bytes(4, "little")) is ErrorCode.SYNTAX


def test_a_stream_that_unpacks_to_more_than_it_says_is_refused() -> None:
    data = b"".join(DeltaWriter(header(False)).finish())
    bomb = json.dumps({"service": "x" * 100_000}).encode()
    packed = pack(bomb)
    head = MAGIC + bytes(16) + packed[:1] + varint(100) + packed[4:]

    assert failure(head + zlib.crc32(head).to_bytes(4, "little")) is ErrorCode.SYNTAX
    assert reader(data).header.service.startswith("https:")


def test_digest_depends_on_every_value_and_the_order() -> None:
    rows = [(1, None, "a", 1.5), (2, b"b", "", 2.5)]

    digests = {digest(rows), digest(rows[::-1]), digest(rows[:1]), digest([(1.0, *rows[0][1:])])}

    assert len(digests) == 4
    assert digest([]).hex().startswith("e3b0c442")


def test_every_edit_is_cheap_against_a_base() -> None:
    source = random.Random(30)
    layer = LAYERS[1]
    base = sorted([(n, guid(), source.random()) for n in range(40_000)], key=lambda row: row[1])
    ranks = sorted(source.sample(range(len(base)), 4000))
    writer = DeltaWriter(header(True, LAYERS))
    deletes = len(b"".join([*writer.deletes(layer.id, ranks), *writer.finish()]))
    writer = DeltaWriter(header(True, LAYERS))
    moved = [(b"\x01", base[rank][0] + source.randint(-50, 50), None, None) for rank in ranks]
    rows = [base[rank] for rank in ranks]
    updates = len(b"".join([*writer.updates(layer.id, ranks, moved, rows), *writer.finish()]))

    assert all(a < b for a, b in pairwise(ranks))
    assert deletes / 4000 < 0.75
    assert updates / 4000 < 1.7
