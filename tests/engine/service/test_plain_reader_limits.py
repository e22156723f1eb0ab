"""Result files that are wrong, hostile or large."""

import json
import tracemalloc
from pathlib import Path

import pytest

from engine.errors import ProtocolError
from tests.engine.service.plain_reader import MAX_HEADER_CHARS, Section, read_rows, scan
from tests.engine.service.plain_window import JsonWindow


def read(path: Path, text: str | bytes, window_bytes: int = 65536) -> None:
    """Both passes over a file of that text."""
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    header = scan(path, window_bytes=window_bytes)
    for _ in read_rows(path, header, window_bytes=window_bytes):
        pass


# --- what is wrong --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the end of the file where one of '{'"),
        ("<html>", "'<' where one of '{'"),
        ("[]", r"'\[' where one of '{'"),
        ("{}x", "more text after the end"),
        ("{} {}", "more text after the end"),
        ('{"a":1,}', "a member without a name"),
        ('{"a" 1}', "'1' where one of ':'"),
        ('{"a":}', "no JSON value"),
        ("{1:2}", "a member without a name"),
        ('{"a":1 "b":2}', "where one of ',}'"),
        ('{"layers":[{"id":1}{"id":2}]}', "where one of ',]'"),
        ('{"layers":{}}', r"where one of '\['"),
        ('{"layers":[1]}', "where one of '{'"),
        ('{"layers":nil}', "no JSON value"),
        ('{"layers":[{"features":[]}]}', "a layer without an id"),
        ('{"layers":[{"id":1},{"features":[{}]}]}', "a layer without an id"),
        ('{"layers":[{"features":[{}]},{"id":1}]}', "a layer without an id"),
        ('{"layers":[{},{"id":1}]}', "a layer without an id"),
        ('{"layers":[{"id":"1"}]}', "a layer id that is no number"),
        ('{"layers":[{"id":true}]}', "a layer id that is no number"),
        ('{"layers":[{"id":null}]}', "a layer id that is no number"),
        ('{"layers":[{"id":1,"features":7}]}', r"where one of '\['"),
        ('{"layers":[{"id":1,"id":2}]}', "the member 'id' comes twice"),
        ('{"layers":[{"id":1,"ID":2}]}', "the member 'ID' comes twice"),
        ('{"replicaServerGen":1,"replicaServerGen":2}', "'replicaServerGen' comes twice"),
        ('{"layers":[],"layers":[]}', "'layers' comes twice"),
        ('{"edits":[{"id":0,"features":{"adds":[],"adds":[]}}]}', "'adds' comes twice"),
        ('{"a":"\x01"}', "no JSON value"),
        ('{"a":"\\x"}', "no JSON value"),
        ('{"a":' + "1" * 5000 + "}", "no JSON value"),
        ('{"a":' + "[" * 100_000, "nested too deep"),
    ],
)
@pytest.mark.parametrize("window_bytes", [1, 65536])
def test_a_wrong_text_is_refused_with_its_place(
    text: str, message: str, window_bytes: int, tmp_path: Path
) -> None:
    if len(text) > 10_000:
        window_bytes = 65536

    with pytest.raises(ProtocolError, match=message):
        read(tmp_path / "f", text, window_bytes)


@pytest.mark.parametrize("window_bytes", [1, 65536])
@pytest.mark.parametrize(
    "data", [b'{"a":"\xff"}', b'{"a":"\xf0\x9f\x98"}', b'{"a":"\xed\xa0\x80"}']
)
def test_what_is_not_utf_8_is_refused(data: bytes, window_bytes: int, tmp_path: Path) -> None:
    with pytest.raises(ProtocolError, match="not UTF-8"):
        read(tmp_path / "f", data, window_bytes)


def test_an_error_tells_the_character_in_the_file(tmp_path: Path) -> None:
    text = '{"layers":[{"id":1,"features":[' + '{"a":1},' * 50 + '{"a":oops}]}]}'

    with pytest.raises(ProtocolError, match=f"at character {text.index('oops')}"):
        read(tmp_path / "f", text, 16)


def test_a_broken_value_is_not_read_to_the_end_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text('{"layers":[{"id":1,"features":[{"a" 1},' + '{"a":1},' * 1_000_000)

    tracemalloc.start()
    with pytest.raises(ProtocolError, match="no JSON value"):
        scan(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 1_000_000


def test_a_value_too_long_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text('{"a":"' + "x" * 10_000 + '"}')

    with JsonWindow(path, window_bytes=10, max_value_chars=1000) as window:
        next(window.members())
        with pytest.raises(ProtocolError, match="too long"):
            window.value()


def test_a_header_too_long_is_refused(tmp_path: Path) -> None:
    text = "{" + ",".join(f'"m{n}":"{"x" * 100_000}"' for n in range(50)) + "}"
    assert len(text) > MAX_HEADER_CHARS

    with pytest.raises(ProtocolError, match="a header that is too long"):
        read(tmp_path / "f", text)


def test_layers_without_number_are_refused(tmp_path: Path) -> None:
    text = '{"layers":[' + ",".join(['{"id":1}'] * 10_001) + "]}"

    with pytest.raises(ProtocolError, match="more than 10000 layers"):
        read(tmp_path / "f", text)


# --- memory ---------------------------------------------------------------------------------------


def test_memory_is_flat_however_large_the_file(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    feature = json.dumps(
        {
            "attributes": {f"field_{n}": f"value {n}" for n in range(100)},
            "geometry": {"x": 1, "y": 2},
        }
    )
    count = 20_000_000 // len(feature)
    with path.open("w") as stream:
        stream.write('{"layers":[{"features":[')
        for number in range(count):
            stream.write(("," if number else "") + feature)
        stream.write('],"id":3}]}')

    tracemalloc.start()
    header = scan(path)
    read_count = sum(1 for _ in read_rows(path, header))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert header.counts == {(3, Section.FEATURES): count}
    assert read_count == count
    assert peak < 1_000_000
