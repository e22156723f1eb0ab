"""Doubles as text: exact and shortest, both ways, against Python's own conversion."""

import math
import random
import re
import struct
from decimal import Decimal, localcontext
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from native._native import ffi, lib

FINITE = st.floats(allow_nan=False, allow_infinity=False)


def printed(value: float) -> str:
    text = ffi.new("char[]", 32)
    size = lib.fs_number_print(value, text)
    return ffi.buffer(text, size)[:].decode("ascii")


def parsed(text: str) -> float:
    value = ffi.new("double *")
    data = text.encode("ascii")
    status = lib.fs_number_parse(ffi.from_buffer(data), len(data), value)
    if status == lib.FS_ERR_NUMBER:
        return -math.inf if text.startswith("-") else math.inf
    assert status == lib.FS_OK, text
    return value[0]


def significant(text: str) -> str:
    return re.sub(r"[-.]|e.*", "", text).strip("0")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "-0.0"),
        (1.0, "1"),
        (-118.15, "-118.15"),
        (0.000001, "0.000001"),
        (1e-7, "1e-7"),
        (9999999999999998.0, "9999999999999998"),
        (1e16, "1e+16"),
        (123456789012345680000.0, "1.2345678901234568e+20"),
        (1e21, "1e+21"),
        (1.5e300, "1.5e+300"),
        (5e-324, "5e-324"),
        (2.2250738585072014e-308, "2.2250738585072014e-308"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (9007199254740993.0, "9007199254740992"),
    ],
)
def test_print_lays_numbers_out(value: float, text: str) -> None:
    assert printed(value) == text


@given(FINITE)
def test_print_is_exact_and_as_short_as_python(value: float) -> None:
    text = printed(value)

    assert struct.pack("<d", float(text)) == struct.pack("<d", value)
    assert significant(text) == significant(repr(value))


@given(st.integers(-(10**16), 10**16), st.integers(0, 12), st.sampled_from([-1, 0, 0, 0, 1]))
def test_print_is_exact_on_decimal_grids_and_beside_them(n: int, places: int, beside: int) -> None:
    value = n / 10**places
    value = math.nextafter(value, math.inf * beside) if beside else value

    text = printed(value)

    assert struct.pack("<d", float(text)) == struct.pack("<d", value)
    assert significant(text) == significant(repr(value))


def test_print_and_parse_agree_with_python_on_random_bits() -> None:
    source = random.Random(20)
    for _ in range(20_000):
        value = struct.unpack("<d", source.randbytes(8))[0]
        if math.isfinite(value):
            text = printed(value)
            assert float(text) == value == parsed(text)
            assert significant(text) == significant(repr(value))


def test_parse_agrees_with_python_on_long_decimals() -> None:
    source = random.Random(21)
    for _ in range(20_000):
        digits = str(source.randint(1, 10 ** source.randint(1, 45)))
        text = f"{digits}.{source.randint(0, 10**6)}e{source.randint(-380, 320)}"
        assert parsed(text) == float(text)


def test_parse_rounds_midpoints_to_even_however_long() -> None:
    source = random.Random(22)
    with localcontext() as context:
        context.prec = 1200
        for width in (63, 62, 54, 52, 20, 3) * 60:
            value = struct.unpack("<d", source.getrandbits(width).to_bytes(8, "little"))[0]
            above = math.nextafter(value, math.inf)
            if not math.isfinite(above):
                continue
            midpoint = (Decimal(value) + Decimal(above)) / 2
            mantissa, exponent = f"{midpoint:E}".split("E")
            for text in (f"{midpoint:E}", f"{mantissa}0001E{exponent}", f"{midpoint * 3:E}"):
                assert parsed(text) == float(text)


@pytest.mark.parametrize(
    "text", ["", "-", "+1", "01", "1.", ".5", "1e", "1e+", "0x1", "NaN", "1 ", "--1", "1.e3"]
)
def test_parse_refuses_what_json_does_not_allow(text: str) -> None:
    data = text.encode("ascii")

    status = lib.fs_number_parse(ffi.from_buffer(data), len(data), ffi.new("double *"))

    assert status == lib.FS_ERR_SYNTAX


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e309", math.inf),
        ("-1e400", -math.inf),
        ("1e-400", 0.0),
        ("1e99999999999999999999", math.inf),
        ("0e99999999999999999999", 0.0),
        ("0." + "0" * 400 + "1", 0.0),
        ("1" + "0" * 308, 1e308),
        ("1" + "0" * 400, math.inf),
        ("1" + "0" * 400 + "e-400", 1.0),
        ("1.7976931348623158079372897140530341507993413271e308", 1.7976931348623157e308),
        ("1.7976931348623158079372897140530341507993413272e308", math.inf),
    ],
)
def test_parse_at_the_ends_of_the_range(text: str, value: float) -> None:
    assert parsed(text) == value


def test_powers_table_holds_the_exact_values_rounded_up() -> None:
    source = (Path(__file__).parents[2] / "native/src/powers.c").read_text(encoding="ascii")
    entries = re.findall(r"\{0x([0-9a-f]{16}), 0x([0-9a-f]{16})\}", source)

    def expected(exponent: int) -> int:
        power: int = 10 ** abs(exponent)
        bits = power.bit_length()
        numerator, denominator = (
            (1 << (127 + bits), power) if exponent < 0 else (power << 128, 1 << bits)
        )
        return -(-numerator // denominator)

    assert [int(high + low, 16) for high, low in entries] == [expected(k) for k in range(-342, 325)]
