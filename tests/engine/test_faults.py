"""Fault points: named well, named once, silent unless armed."""

import ast
import re
from collections import Counter

import pytest

from engine import faults
from tests.sources import python_files, tree

NAME = re.compile(r"[a-z]+(?:-[a-z]+)*\.[a-z]+")
IRREGULAR = {
    "begun", "built", "done", "found", "given", "held", "kept", "lost", "made", "put", "read",
    "sent", "set", "swept", "taken", "told", "written",
}  # fmt: skip
"""Past participles that do not end in -ed."""


def named_points(module: ast.Module) -> list[str]:
    """The names that the source passes to ``faults.point``."""
    return [
        _name(node.args[0])
        for node in ast.walk(module)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "point"
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "faults"
    ]


def _name(argument: ast.expr) -> str:
    """``batch.*`` for the states of a machine, named as ``f"batch.{state.value}"``."""
    match argument:
        case ast.Constant(value=str(name)):
            return name
        case ast.JoinedStr(values=[ast.Constant(value=str(noun)), ast.FormattedValue()]):
            return f"{noun}*"
        case _:
            return "?"


def is_well_named(name: str) -> bool:
    participle = name.rpartition(".")[2]
    return bool(NAME.fullmatch(name)) and (participle.endswith("ed") or participle in IRREGULAR)


@pytest.mark.checkout
def test_every_fault_point_has_a_good_name_of_its_own() -> None:
    places = [
        (name, path.name)
        for path in python_files("engine", "device")
        for name in named_points(tree(path))
    ]
    literal = Counter(name for name, _ in places if not name.endswith("*"))
    machines = {name.partition(".")[0] for name, _ in places if name.endswith("*")}
    homes = Counter(noun for noun, _ in {(name.partition(".")[0], file) for name, file in places})

    assert literal["file.written"] == 1
    assert [name for name, times in literal.items() if times > 1] == []
    assert [name for name in literal if not is_well_named(name)] == []
    assert [noun for noun in machines if homes[noun] > 1] == []


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("journal.written", True),
        ("upload-part.committed", True),
        ("journal.write", False),
        ("Journal.written", False),
        ("written", False),
        ("journal.entry.written", False),
        ("?", False),
    ],
)
def test_the_rule_for_names(name: str, good: bool) -> None:
    assert is_well_named(name) == good


def test_the_search_finds_points_and_computed_names() -> None:
    source = "faults.point('a.done')\nfaults.point(name)\nother.point('b.done')\n"
    state = "faults.point(f'batch.{state.value}')\nfaults.point(f'{noun}.done')\n"

    assert named_points(ast.parse(source)) == ["a.done", "?"]
    assert named_points(ast.parse(state)) == ["batch.*", "?"]


def test_a_point_does_nothing_unless_armed() -> None:
    faults.point("nothing.armed")


def test_an_armed_handler_sees_every_point_and_may_raise() -> None:
    seen: list[str] = []

    with faults.armed(seen.append):
        faults.point("one.done")
        faults.point("two.done")
    faults.point("three.done")

    assert seen == ["one.done", "two.done"]


def test_an_inner_handler_gives_way_to_the_outer_even_after_an_error() -> None:
    outer: list[str] = []

    def fail(name: str) -> None:
        raise OSError(name)

    with faults.armed(outer.append):
        with pytest.raises(OSError, match=r"one\.done"), faults.armed(fail):
            faults.point("one.done")
        faults.point("two.done")

    assert outer == ["two.done"]
