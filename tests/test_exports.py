"""The public names: all there, and loaded only when somebody asks for one."""

import ast
import importlib
import subprocess
import sys

import pytest

import engine
from tests.sources import ROOT, tree

HEAVY = ("aiohttp", "aiosqlite", "asyncio", "native._native", "sqlite3", "ssl")


def modules_after(*statements: str) -> set[str]:
    """What a fresh interpreter has imported after those statements."""
    code = "\n".join(["import sys", *statements, "print('\\n'.join(sys.modules), file=sys.stderr)"])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    return set(done.stderr.split())


def test_every_public_name_is_there_and_described() -> None:
    assert engine.__all__
    assert sorted(engine.__all__) == list(engine.__all__)

    missing = [name for name in engine.__all__ if not hasattr(engine, name)]
    silent = [name for name in engine.__all__ if not getattr(engine, name).__doc__]

    assert not missing
    assert not silent
    assert set(engine.__all__) <= set(dir(engine))


def test_public_names_can_be_pickled_and_found_by_their_own_module() -> None:
    for name in engine.__all__:
        public = getattr(engine, name)
        assert getattr(importlib.import_module(public.__module__), public.__name__) is public


@pytest.mark.checkout
def test_type_checkers_see_the_same_names_from_the_same_modules() -> None:
    block = next(n for n in tree(ROOT / "engine/__init__.py").body if isinstance(n, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]

    seen = {alias.asname: node.module for node in imports for alias in node.names}

    assert seen == {name: engine._HOME_OF[name] for name in engine.__all__}


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(engine, "NoSuchThing")


def test_importing_the_engine_loads_nothing_heavy() -> None:
    assert not modules_after("import engine") & set(HEAVY)


def test_errors_come_without_the_network_stack() -> None:
    assert "aiohttp" not in modules_after("import engine", "engine.EngineError")


def test_help_loads_no_network_stack() -> None:
    loaded = modules_after(
        "import device.cli",
        "try:\n    device.cli.main(['--help'])\nexcept SystemExit as end:\n    assert not end.code",
    )

    assert not loaded & {"aiohttp", "aiosqlite", "ssl"}
