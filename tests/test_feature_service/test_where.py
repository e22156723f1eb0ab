"""WHERE clauses, asked over the wire."""

import pytest

from .client import Client
from .world import HYDRANTS, ZONES, gid


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("1=1", list(range(1, 10))),
        ("1=0", []),
        ("serial > 7", [8, 9]),
        ("SERIAL >= 8 AND name <> 'H9'", [8]),
        ("serial = 1 OR serial = 2 AND status = 2", [1]),
        ("(serial = 1 OR serial = 2) AND status = 1", [2]),
        ("NOT (serial < 9)", [9]),
        ("serial IN (1, 3, 99)", [1, 3]),
        ("serial NOT IN (1,2,3,4,5,6)", [7, 8, 9]),
        ("serial BETWEEN 2 AND 3", [2, 3]),
        ("serial NOT BETWEEN 2 AND 9", [1]),
        ("name LIKE 'H_' AND name LIKE '%7'", [7]),
        ("name LIKE 'h7'", []),
        ("LOWER(name) LIKE 'h7'", [7]),
        ("UPPER(name) = 'H7' AND CHAR_LENGTH(name) = 2", [7]),
        ("checked IS NULL AND serial IS NOT NULL AND serial<2", [1]),
        ("pressure * 2 = 6", [6]),
        ("serial - 1 = (2 + 1) * 2", [7]),
        ("-serial < -8", [9]),
        ('"serial" = 4', [4]),
        ("name = 'O''Hara'", []),
        (f"GlobalID = '{gid(4)}'", [4]),
        (f"GlobalID = '{gid(4).strip('{}').lower()}'", [4]),
        (f"'{gid(4)}' = GlobalID", [4]),
        (f"globalid IN ('{gid(4)}', '{gid(5).lower()}')", [4, 5]),
        ("checked < DATE '2024-01-01'", []),
        ("checked IS NULL OR checked > CURRENT_TIMESTAMP", list(range(1, 10))),
        ("OBJECTID=3", [3]),
        ("  serial=3  ", [3]),
        ("NOT " * 3001 + "serial < 9", [9]),
    ],
)
async def test_where_when_valid_then_finds(client: Client, where: str, expected: list[int]) -> None:
    assert await client.oids(HYDRANTS, where) == expected


@pytest.mark.parametrize(
    "where",
    [
        "serial",
        "serial =",
        "nofield = 1",
        "serial = 1;",
        "serial = 1 --",
        "1=1; DROP TABLE layer_0",
        "serial IN (SELECT 1)",
        "load_extension('x') = 1",
        "name LIKE",
        "name = 'open",
        "serial = 1)",
        "(serial = 1",
        "gen_to = 1",
        "checked > DATE 'soon'",
        "(" * 500 + "1=1" + ")" * 500,
    ],
)
async def test_where_when_not_understood_then_refused(client: Client, where: str) -> None:
    answer = await client.post(f"{HYDRANTS}/query", where=where)

    assert answer["error"]["code"] == 400
    assert answer["error"]["message"] == "'where' clause is invalid"


async def test_where_when_dates_are_given_then_compared_as_moments(client: Client) -> None:
    noon = 1_704_110_400_000
    changed = {"attributes": {"OBJECTID": 2, "checked": noon}}
    await client.post(f"{HYDRANTS}/updateFeatures", features=[changed])

    for where in (
        "checked = TIMESTAMP '2024-01-01 12:00:00'",
        "checked > DATE '2024-01-01' AND checked < DATE '2024-01-02'",
        "checked BETWEEN TIMESTAMP '2024-01-01 11:59:59' AND TIMESTAMP '2024-01-01 12:00:01'",
        "checked = '2024-01-01T12:00:00Z'",
    ):
        assert await client.oids(HYDRANTS, where) == [2], where


@pytest.mark.parametrize(
    "where",
    [
        "day = DATE '2024-02-29'",
        "hour > TIME '13:00:00'",
        "moment = TIMESTAMP '2024-02-29 11:45:00'",
        "moment < TIMESTAMP '2024-02-29 13:00:00'",
        "big = 9007199254740991",
        "weight BETWEEN 0.09 AND 0.11",
        f"owner_id = '{gid(9).lower()}'",
    ],
)
async def test_where_when_field_is_of_a_newer_type_then_compared(
    client: Client, where: str
) -> None:
    assert await client.oids(ZONES, where) == [1]


async def test_where_when_number_is_huge_then_still_answers(client: Client) -> None:
    assert await client.oids(HYDRANTS, f"serial < {10**30}") == list(range(1, 10))
