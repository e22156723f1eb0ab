"""The documents leave out nothing that is public, and name nothing that is not there."""

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import FunctionType

import pytest

import engine
from device.cli_parser import make_parser
from engine.errors import EngineError
from engine.geodatabase import journal
from engine.sync import job
from engine.sync.states import MOVES
from tests.sources import DOCUMENTS, ROOT, tree

pytestmark = pytest.mark.checkout

TOP = {p.name for p in ROOT.iterdir()} - {".git", ".venv", ".cache"}
MADE_LATER = {".venv", ".venv-debian12", ".cache"}  # by scripts/setup


@cache
def text(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def code_blocks(document: str, language: str) -> list[str]:
    """The fenced blocks of that language; for ``sh`` the indented blocks too."""
    fenced = re.findall(rf"^```{language}\n(.*?)^```$", text(document), re.MULTILINE | re.DOTALL)
    if language != "sh":
        return list(fenced)
    plain = re.sub(r"^```.*?^```$", "", text(document), flags=re.MULTILINE | re.DOTALL)
    indented = re.findall(r"(?:^\n)((?:    .*\n|\n(?=    ))+)", plain, re.MULTILINE)
    return [*fenced, *indented]


def inline_code(document: str) -> Iterator[str]:
    without_blocks = re.sub(r"^```.*?^```$", "", text(document), flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(r"`([^`\n]+)`", without_blocks)


def commands(document: str) -> Iterator[list[str]]:
    """The command lines of the document, in blocks and inline, split into words."""
    for block in code_blocks(document, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            yield shlex.split(line.strip(), comments=True)
    for code in inline_code(document):
        if re.match(r"scripts/\w|fieldsync ", code):
            yield code.split()


def table_rows(document: str, heading: str) -> list[list[str]]:
    """The cells of every table row under the heading, without the table's own heading."""
    section = text(document).split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows if not set(row[0]) <= set("-: ")][1:]


def moves_told(document: str, first: str) -> dict[str, set[str]]:
    """The block of lines ``state → state, state`` that begins with the state ``first``."""
    block = next(b for b in code_blocks(document, "") if b.startswith(f"{first} →"))
    return {
        state: set(following.split(", "))
        for state, following in (line.split(" → ") for line in block.splitlines())
    }


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_document_is_there_and_begins_with_its_title(document: str) -> None:
    assert text(document).startswith("# ")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", text(document))

    missing = [link for link in links if not (ROOT / document).parent.joinpath(link).exists()]

    assert not [link for link in missing if not link.startswith("https://")]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_paths_exist(document: str) -> None:
    paths = [
        word.rstrip(",.;:")
        for code in inline_code(document)
        for word in code.split()
        if word.partition("/")[0] in TOP | MADE_LATER or word.endswith((".md", ".py", ".toml"))
        if not word.startswith("/")  # a place on the device
    ]

    missing = [p for p in paths if p.partition("/")[0] not in MADE_LATER and not exists(p)]

    assert not missing


def exists(path: str) -> bool:
    """Below the root; a name without a folder may be anywhere in the checkout."""
    path = path.partition("::")[0]
    if "/" in path or path in TOP:
        return (ROOT / path).exists()
    return any(found.name == path for folder in TOP for found in (ROOT / folder).rglob(path))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_python_examples_compile_and_import_public_names(document: str) -> None:
    for block in code_blocks(document, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module == "engine":
                assert {alias.name for alias in node.names} <= set(engine.__all__)
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("engine."):
                pytest.fail(f"the example imports {node.module}")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_exist(document: str) -> None:
    verbs = verbs_of_the_command()
    for words in commands(document):
        name, *arguments = words or [""]
        if name.startswith("scripts/"):
            assert Path(ROOT, name).is_file(), name
        elif name == "fieldsync" and arguments and arguments[0].islower():
            assert arguments[0] in verbs, words


def verbs_of_the_command() -> dict[str, str]:
    """Verb → its help."""
    parsers = next(a for a in make_parser()._actions if a.dest == "verb").choices
    assert isinstance(parsers, dict)
    return {verb: parser.format_help() for verb, parser in parsers.items()}


def test_the_readme_shows_every_verb() -> None:
    shown = {
        words[1] for words in commands("README.md") if words[:1] == ["fieldsync"] and words[1:]
    }

    assert shown >= set(verbs_of_the_command())


def test_the_page_of_the_command_lists_every_verb() -> None:
    rows = re.findall(r"^\| `(\w+).*\| (?:yes|no) \|$", text("docs/cli.md"), re.MULTILINE)

    assert set(rows) == set(verbs_of_the_command())


def test_the_page_of_the_command_lists_the_exit_codes() -> None:
    listed = {int(row[0]) for row in table_rows("docs/cli.md", "Exit codes")}

    assert listed <= set(engine.ExitCode)
    assert {int(kind.exit_code) for kind in error_kinds()} <= listed


@pytest.mark.parametrize("document", ["README.md", "docs/cli.md"])
def test_options_that_are_named_exist(document: str) -> None:
    known = set(re.findall(r"--[a-z][a-z-]+", " ".join(verbs_of_the_command().values())))
    named = {
        word.partition("=")[0]
        for words in commands(document)
        if words[:1] == ["fieldsync"]
        for word in words
        if word.startswith("--")
    }
    alone = {code.split()[0] for code in inline_code(document) if code.startswith("--")}

    assert named | (alone if document == "docs/cli.md" else set()) <= known | {"--help"}


def test_every_script_is_named() -> None:
    told = text("README.md") + text("CONTRIBUTING.md")
    scripts = [p.name for p in (ROOT / "scripts").iterdir() if p.is_file() and not p.suffix]

    assert [name for name in scripts if f"scripts/{name}" not in told] == []


def test_every_public_name_is_explained_and_no_other() -> None:
    rows = [
        row
        for heading in ("Maps", "Geodatabases", "Delta files", "Credentials", "Jobs", "Values")
        for row in table_rows("docs/API.md", heading)
    ]
    told = {row[0].strip("`") for row in rows}
    in_prose = set(re.findall(r"`(\w+)`", text("docs/API.md").split("\n## Errors\n")[1]))

    assert told <= set(engine.__all__)
    assert set(engine.__all__) <= told | in_prose


@pytest.mark.parametrize(
    "heading", ["Maps", "Geodatabases", "Delta files", "Credentials", "Jobs", "Values"]
)
def test_every_member_that_is_told_of_exists(heading: str) -> None:
    for name, _, *members in table_rows("docs/API.md", heading):
        public = getattr(engine, name.strip("`"))
        for member in re.findall(r"`(\w+)`", " ".join(members)):
            assert hasattr(public, member) or is_set_by_init(public, member), f"{name}.{member}"


def is_set_by_init(public: type, member: str) -> bool:
    """True for an instance's attribute that no class attribute stands for."""
    if any(member in vars(kind).get("__annotations__", {}) for kind in public.__mro__):
        return True
    inits = [vars(kind).get("__init__") for kind in public.__mro__]
    assigned = [i.__code__.co_names for i in inits if isinstance(i, FunctionType)]
    return any(member in names for names in assigned)


def error_kinds() -> list[type[EngineError]]:
    def tree(kind: type[EngineError]) -> Iterator[type[EngineError]]:
        yield kind
        for child in kind.__subclasses__():
            yield from tree(child)

    return [kind for kind in tree(EngineError) if kind.__module__ == "engine.errors"]


def test_every_error_code_is_explained_with_its_exit_code() -> None:
    told = {row[0].strip("`"): int(row[1]) for row in table_rows("docs/API.md", "Errors")}

    assert told == {kind.code: int(kind.exit_code) for kind in error_kinds()}


def test_the_states_are_those_of_the_code() -> None:
    jobs = {
        state.name.lower(): {following.name.lower() for following in after}
        for state, after in job._MOVES.items()
        if after
    }
    batches = {
        state.value: {following.value for following in after}
        for state, after in journal.MOVES.items()
        if after
    }

    steps = {
        state.value: {following.value for following in after}
        for state, after in MOVES.items()
        if after
    }

    assert moves_told("ARCHITECTURE.md", "check") == steps
    assert moves_told("ARCHITECTURE.md", "not_started") == jobs
    assert moves_told("ARCHITECTURE.md", "prepared") == batches


def test_every_rule_of_motion_has_its_test() -> None:
    rules = table_rows("ARCHITECTURE.md", "Rules of motion")

    assert len(rules) > 8
    for rule, _, proof in rules:
        assert re.search(r"`tests/[\w/]+\.py`|`native/tests|`scripts/", proof), rule


def test_every_complaint_has_a_test_that_is_there() -> None:
    rows = [row for row in table_rows("docs/complaints.md", "The table") if row[0].isdigit()]

    assert [int(row[0]) for row in rows] == list(range(1, 26))
    for number, _, _, proof in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", proof)
        assert named, number
        for path, name in named:
            functions = ast.walk(tree(ROOT / path))
            defined = (ast.FunctionDef, ast.AsyncFunctionDef)
            assert name in {f.name for f in functions if isinstance(f, defined)}, (number, name)


def test_unreleased_stands_on_top_of_the_changelog() -> None:
    assert re.findall(r"^## (.+)$", text("CHANGELOG.md"), re.MULTILINE)[0] == "Unreleased"


def test_the_stages_that_are_priced_are_those_of_the_script() -> None:
    script = (ROOT / "scripts/test").read_text()
    stages = set(re.findall(r"^stage_(\w+)\(\)", script, re.MULTILINE))

    assert {row[0].strip("`") for row in table_rows("CONTRIBUTING.md", "Checks")} == stages
