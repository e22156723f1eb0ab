"""The checkout's own files, for the tests that keep the house in order."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
CODE_FOLDERS = ("engine", "native", "device", "tests", "scripts")
DOCUMENTS = (
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    *sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("docs/**/*.md")),
    *sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("native/*.md")),
)


def python_files(*folders: str) -> Iterator[Path]:
    """Python sources below those folders of the checkout, scripts without a suffix included."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix == ".py" or (not path.suffix and _is_python_script(path)):
                yield path


def _is_python_script(path: Path) -> bool:
    if not path.is_file():
        return False
    with open(path, "rb") as stream:
        first = stream.readline(100)
    return first.startswith(b"#!") and b"python" in first


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def module_name(path: Path) -> str:
    """``engine/sync/job.py`` → ``engine.sync.job``; a package's ``__init__`` is the package."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(module: ast.Module, name: str, *, is_package: bool = False) -> Iterator[str]:
    """Every module or name that the source of module ``name`` imports, in full dotted form.

    ``from a.b import c`` gives ``a.b.c``: whether ``c`` is a module or a name in one cannot be
    seen here, and need not be.
    """
    package = name.split(".") if is_package else name.split(".")[:-1]
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{source}.{alias.name}" for alias in node.names)
