"""The marks by which a sync counts each edit once."""

import random
import uuid
from dataclasses import replace

import pytest

from engine.geodatabase.change_log import Edit
from engine.geodatabase.layer_table import LayerTable
from engine.model import EditOperation
from engine.sync.accounts import mark_of
from engine.sync.case import key_of


def table(number: int) -> LayerTable:
    found = object.__new__(LayerTable)
    object.__setattr__(found, "number", number)
    return found


def edit(number: int, global_id: str) -> Edit:
    return Edit(
        table=table(number),
        global_id=global_id,
        operation=EditOperation.UPDATE,
        key=1,
        first=1,
        last=1,
        row=None,
        base=None,
    )


def global_ids(rng: random.Random) -> list[str]:
    """GUIDs, and texts that are nearly the same ones."""
    found = []
    for _ in range(200):
        guid = f"{{{uuid.UUID(int=rng.getrandbits(128))}}}".upper()
        place = rng.randrange(len(guid))
        found += [guid, guid.lower(), guid[1:-1], f"[{guid[1:-1]}]", guid.replace("-", "")]
        found += [guid[:place] + rng.choice("0F-}{ ") + guid[place + 1 :], f"{guid}\n", ""]
    return found


def test_two_edits_have_one_mark_exactly_if_they_have_one_key() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    edits = [edit(number, one) for one in global_ids(rng) for number in (0, 1, 2, 70_000)]

    assert len({mark_of(one) for one in edits}) == len({key_of(one) for one in edits})
    assert all(mark_of(one) == mark_of(replace(one, first=2)) for one in edits)


@pytest.mark.parametrize("number", [0, 131_072])
def test_the_mark_of_a_guid_is_a_number(number: int) -> None:
    assert isinstance(mark_of(edit(number, "{00000000-0000-4000-8000-000000007535}")), int)
