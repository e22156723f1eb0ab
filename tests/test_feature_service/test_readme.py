"""The README names every switch, every fault, and every foreign client."""

from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

from tests import feature_service
from tests.feature_service.fault import KINDS
from tests.feature_service.profile import switches

_README = Path(feature_service.__file__).with_name("README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """scripts/foreign-clients as a module."""
    path = Path(__file__).parents[2] / "scripts" / "foreign-clients"
    copy = tmp_path_factory.mktemp("script") / "foreign_clients_script.py"
    copy.write_bytes(path.read_bytes())
    spec = spec_from_loader(copy.stem, SourceFileLoader(copy.stem, str(copy)))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(__import__("sys").modules, copy.stem, module)
        spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", [*switches(), *KINDS])
def test_readme_when_read_then_names_the_switch(name: str) -> None:
    assert f"`{name}`" in _README


def test_readme_when_read_then_has_the_table_of_clients(script: ModuleType) -> None:
    lines = _README.splitlines()
    head = lines.index(f"| {' | '.join(('client', *script.OPERATIONS))} |")
    rows = lines[head + 2 :][: len(script.CLIENTS)]

    assert [row.split(" ")[1] for row in rows] == [f"`{one.name}`" for one in script.CLIENTS]


def test_outcome_when_a_check_failed_or_none_was_made_then_not_good(script: ModuleType) -> None:
    nothing, good, bad = script.Outcome(), script.Outcome(), script.Outcome()
    good.passed["query"] = 2
    bad.passed["query"], bad.failed["query"] = 2, 1

    assert [one.is_good for one in (nothing, good, bad)] == [False, True, False]
    assert [one.cell("query") for one in (nothing, good, bad)] == ["", "2", "2 of 3"]
    assert script.Outcome(passed=good.passed, note="no network").is_good is False


def test_install_when_stamped_then_not_again(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "CACHE", tmp_path)
    installed: list[str] = []

    def install(folder: Path, client: object) -> None:
        installed.append(folder.name)
        (folder / "kept").touch()

    monkeypatch.setattr(script, "_install_into", install)
    first, newer = (script.Client(name="c", kind="npm", driver="d", packages=(p,)) for p in "12")
    script._install(first)
    script._install(first)
    script._install(newer)
    script._install(newer)

    assert installed == ["c", "c"]
