"""Tables and amounts, as a person reads them."""

import pytest

from device.tables import number, pairs, printable, size, table, width


def test_a_table_has_aligned_columns_with_numbers_to_the_right() -> None:
    lines = table(("layer", "rows"), [("Trees", 7), ("Hydrants", 1200)])

    assert lines == ["layer     rows", "--------  ----", "Trees        7", "Hydrants  1200"]


def test_a_table_without_rows_is_its_heading() -> None:
    assert table(("layer", "rows"), []) == ["layer  rows", "-----  ----"]


def test_wide_and_combining_characters_keep_the_columns_straight() -> None:
    lines = table(("name", "rows"), [("樹木", 1), ("e\u0301tang", 2)])

    assert len({width(line) for line in lines}) == 1


def test_missing_values_and_control_characters_cannot_disturb_a_table() -> None:
    lines = table(("name", "note"), [("a\x1b[31mb\r\nc", None)])

    assert lines[-1] == "a\ufffd[31mb c  -"


def test_pairs_stand_one_below_the_other() -> None:
    assert pairs([("url", "http://x"), ("sync id", 7)]) == ["url      http://x", "sync id  7"]


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (9949, "9.9 kB"),
        (9951, "10 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (31_000_000, "31 MB"),
        (2_500_000_000_000, "2.5 TB"),
        (9_900_000_000_000_000, "9900 TB"),
    ],
)
def test_sizes_are_short(count: int, text: str) -> None:
    assert size(count) == text


def test_numbers_agree_with_their_noun() -> None:
    assert [number(n, "edit") for n in (0, 1, 2)] == ["0 edits", "1 edit", "2 edits"]
    assert number(2, "entry", "entries") == "2 entries"


def test_printable_text_is_one_line() -> None:
    assert printable(" a\n\tb \u202e c") == "a b \ufffd c"
