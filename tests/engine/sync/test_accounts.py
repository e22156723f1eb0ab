"""The marks by which a sync counts each edit once."""

import os
import random
import uuid
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from engine.geodatabase.change_log import Edit
from engine.geodatabase.layer_table import LayerTable
from engine.model import EditOperation
from engine.sync.case import Key, key_of
from engine.sync.edit_marks import EditMarks, mark_of


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
def test_the_mark_of_a_guid_is_16_bytes(number: int) -> None:
    found = mark_of(edit(number, "{00000000-0000-4000-8000-000000007535}"))

    assert found == (number, bytes.fromhex("00000000000040008000000000007535"))


SAMPLES = [
    edit(number, one)
    for number in (0, 1)
    for one in ("{00000000-0000-4000-8000-000000007535}", "{0-7535}", "{0-7536}")
]
WHICH = st.integers(0, len(SAMPLES) - 1)


class Marks(RuleBasedStateMachine):
    """The database of marks, and two sets of keys as its model."""

    def __init__(self) -> None:
        super().__init__()
        self.marks = EditMarks()
        self.met: set[Key] = set()
        self.decided: set[Key] = set()

    @rule(which=st.sets(WHICH))
    def add(self, which: set[int]) -> None:
        some = [SAMPLES[n] for n in which]
        self.marks.add(some)
        self.met |= set(map(key_of, some))

    @rule(which=WHICH)
    def decide(self, which: int) -> None:
        one = SAMPLES[which]
        self.marks.decide(one)
        self.met.add(key_of(one))
        self.decided.add(key_of(one))

    @rule(which=st.sets(WHICH))
    def discard(self, which: set[int]) -> None:
        some = [SAMPLES[n] for n in which]
        self.marks.discard(some)
        self.met -= set(map(key_of, some))
        self.decided -= set(map(key_of, some))

    @rule()
    def keep_decided(self) -> None:
        self.marks.keep_decided()
        self.met = set(self.decided)

    @invariant()
    def tells_what_the_model_tells(self) -> None:
        for one in SAMPLES:
            assert (one in self.marks) is (key_of(one) in self.met)

    def teardown(self) -> None:
        self.marks.close()


TestMarks = Marks.TestCase
TestMarks.settings = settings(max_examples=20, stateful_step_count=15, deadline=None)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_marks_when_there_are_many_then_the_memory_is_bounded() -> None:
    marks, one = EditMarks(), edit(0, "")
    before = resident_bytes()

    marks.add(
        replace(one, global_id=f"{{{uuid.UUID(int=n << 90)}}}".upper()) for n in range(60_000)
    )

    assert resident_bytes() - before < 3_000_000  # in sets it would be 6 MB
    assert replace(one, global_id=f"{{{uuid.UUID(int=7 << 90)}}}".upper()) in marks
    marks.close()
