"""Imports go one way: device ▶ engine ▶ native, and maps ▶ sync ▶ {service, geodatabase}."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sources import CODE_FOLDERS, imported, module_name, python_files, tree

pytestmark = pytest.mark.checkout

PARTS = (
    "engine.geodatabase",
    "engine.maps",
    "engine.service",
    "engine.sync",
    "engine",
    "native",
    "device",
    "scripts",
    "tests.feature_service",
    "tests",
)
"""The parts of the house; a module belongs to the first that is its prefix. The part ``engine`` is
what lies in that folder itself: what all of the engine shares."""

MAY_IMPORT = {
    "native": (),
    "engine": ("native",),
    "engine.service": ("engine", "native"),
    "engine.geodatabase": ("engine", "native"),
    "engine.sync": ("engine", "engine.service", "engine.geodatabase", "native"),
    "engine.maps": ("engine", "engine.service", "engine.geodatabase", "engine.sync", "native"),
    "device": ("engine",),
    "tests.feature_service": (),
    "scripts": tuple(p for p in PARTS if p != "scripts"),
    "tests": tuple(p for p in PARTS if p != "tests"),
}
"""Part → the other parts that it may import."""


def part_of(name: str) -> str | None:
    return next((p for p in PARTS if name == p or name.startswith(f"{p}.")), None)


def wrong_imports(module: ast.Module, name: str, *, is_package: bool = False) -> Iterator[str]:
    """A sentence for each import in module ``name`` that breaks the rules."""
    own = part_of(name)
    assert own is not None, name
    is_facade = name == "engine"  # engine/__init__.py names what its parts offer, lazily
    for target in imported(module, name, is_package=is_package):
        part = part_of(target)
        if part is None or part == own or part in MAY_IMPORT[own]:
            if own == "device" and part == "engine" and target.count(".") > 1:
                yield f"{name} imports {target}: only engine's public names"
        elif not (is_facade and part.startswith("engine.")):
            yield f"{name} imports {target}"


def test_every_import_follows_the_arrows() -> None:
    wrong = [
        sentence
        for path in python_files(*CODE_FOLDERS)
        for sentence in wrong_imports(
            tree(path), module_name(path), is_package=path.name == "__init__.py"
        )
    ]

    assert not wrong, "\n".join(wrong)


def test_the_device_takes_names_that_the_engine_exports() -> None:
    """``from engine import atomic`` would be a module of the engine, not a public name."""
    modules = {module_name(p) for p in python_files("engine")}

    wrong = [
        f"{path.name} imports {name}"
        for path in python_files("device")
        for name in imported(tree(path), module_name(path))
        if name != "engine" and name in modules
    ]

    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("name", "source", "is_wrong"),
    [
        ("engine.errors", "import device", True),
        ("engine.errors", "import native.geometry", False),
        ("engine.errors", "from engine.sync import job", True),
        ("engine.errors", "def f():\n    import engine.sync.job", True),
        ("engine.service.session", "import engine.geodatabase", True),
        ("engine.service.session", "from engine.geodatabase import sql", True),
        ("engine.service.session", "from ..geodatabase import sql", True),
        ("engine.service.session", "from ..errors import EngineError", False),
        ("engine.service.session", "from . import retry", False),
        ("engine.service.session", "from engine.errors import EngineError", False),
        ("engine.geodatabase.merge", "from engine.service import session", True),
        ("engine.geodatabase.merge", "from native import geometry", False),
        ("engine.sync.job", "from engine.service import session", False),
        ("engine.sync.job", "from engine.maps import offline_map", True),
        ("engine.maps.offline_map", "from engine.sync import job", False),
        ("engine.sync.job", "from tests.fakes import clock", True),
        ("native.geometry", "from engine.errors import EngineError", True),
        ("native.geometry", "import struct", False),
        ("device.cli", "from engine import OfflineMap", False),
        ("device.cli", "from engine.sync import OfflineMapSyncTask", True),
        ("device.cli", "from engine.errors import EngineError", True),
        ("device.cli", "from native import geometry", True),
        ("tests.feature_service.store", "from engine.errors import EngineError", True),
        ("tests.feature_service.store", "from native import geometry", True),
        ("tests.feature_service.store", "from tests.fakes.clock import VirtualClock", True),
        ("tests.feature_service.store", "from tests.feature_service import field", False),
        ("tests.engine.test_errors", "from engine.errors import EngineError", False),
    ],
)
def test_the_rules_catch_a_wrong_import(name: str, source: str, is_wrong: bool) -> None:
    assert bool(list(wrong_imports(ast.parse(source), name))) == is_wrong


def test_the_facade_may_name_what_the_parts_offer() -> None:
    source = ast.parse("from engine.sync.job import Job\nfrom .maps.offline_map import OfflineMap")

    assert not list(wrong_imports(source, "engine", is_package=True))
    assert list(wrong_imports(ast.parse("import device.cli"), "engine", is_package=True))


def test_every_module_belongs_to_a_part(tmp_path: Path) -> None:
    lost = [module_name(p) for p in python_files(*CODE_FOLDERS) if part_of(module_name(p)) is None]

    assert not lost
