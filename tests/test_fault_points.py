"""Every fault point of the source is one at which a test kills."""

import ast
from collections.abc import Iterator

import pytest

from engine.geodatabase.journal import BatchState
from tests.engine.test_faults import named_points
from tests.fault_points import KILLED_BY, KILLED_BY_ITSELF
from tests.sources import ROOT, python_files, tree

pytestmark = pytest.mark.checkout


def named() -> set[str]:
    names = {name for path in python_files("engine", "device") for name in named_points(tree(path))}
    assert "batch.*" in names
    return names - {"batch.*"} | {f"batch.{state.value}" for state in BatchState}


def scenarios() -> Iterator[str]:
    """Those that tests hand to ``kill_at_points``: by name, or by a parameter."""
    for path in python_files("tests"):
        for function in ast.walk(tree(path)):
            if isinstance(function, ast.FunctionDef):
                yield from _killed(function)


def _killed(function: ast.FunctionDef) -> Iterator[str]:
    for call in ast.walk(function):
        match call:
            case ast.Call(func=ast.Name("kill_at_points"), args=[ast.Name(given), *_]):
                yield given
                for one in function.decorator_list:
                    yield from (node.id for node in ast.walk(one) if isinstance(node, ast.Name))


def test_every_fault_point_is_one_at_which_a_test_kills() -> None:
    assert sorted([*KILLED_BY, *KILLED_BY_ITSELF]) == sorted(named())


def test_every_scenario_of_the_table_is_killed() -> None:
    """And :func:`tests.killing.kill_at_points` looks that it came by its points."""
    assert set(KILLED_BY.values()) <= set(scenarios())


@pytest.mark.parametrize(("point", "test"), KILLED_BY_ITSELF.items())
def test_a_test_that_kills_by_itself_names_its_point(point: str, test: str) -> None:
    file, _, name = test.partition("::")
    text = (ROOT / file).read_text(encoding="utf-8")

    assert f'"{point}"' in text
    assert f"def {name}(" in text
    assert "os._exit(75)" in text
