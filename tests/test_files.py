"""Every file of the checkout: short enough to read, and speaking of this project alone."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.sources import CODE_FOLDERS, ROOT

pytestmark = pytest.mark.checkout

LONGEST = 500
CODE_SUFFIXES = {".py", ".pyi", ".c", ".h", ".sh", ""}
TEXT_SUFFIXES = CODE_SUFFIXES | {".md", ".toml", ".json", ".ndjson", ".sql", ".txt", ".cfg"}

FOREIGN = {
    "a path of the machine it was built on": r"(?<![\w.$~>}])/(?:work|root|home/\w+)/",
    "a package registry's host": "|".join(
        (r"pypi\.(?:org|python)", r"python" r"hosted\.org", r"npm" r"js\.(?:org|com)")
    ),
    "a document that is not in the checkout": r"\b(?:ref/\w+\.md|(?<!/)\bdesign\.md)\b",
    "an unfinished thing": r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X)\b",
}
"""What no file may hold. A name in two halves keeps this file itself clean."""


def files_of_the_checkout() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        timeout=60,
    ).stdout.decode()
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def foreign_words(text: str) -> list[str]:
    return [
        f"{what}: {match[0]}"
        for what, pattern in FOREIGN.items()
        for match in re.finditer(pattern, text)
    ]


def test_no_source_file_is_longer_than_a_person_reads() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_bytes().splitlines())
        for path in files_of_the_checkout()
        if path.relative_to(ROOT).parts[0] in CODE_FOLDERS and path.suffix in CODE_SUFFIXES
    }

    assert lengths
    assert not {name: lines for name, lines in lengths.items() if lines >= LONGEST}


def test_no_file_speaks_of_anything_outside_the_project() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {word}"
        for path in files_of_the_checkout()
        if path.suffix in TEXT_SUFFIXES and path != Path(__file__)
        for word in foreign_words(path.read_text(encoding="utf-8", errors="replace"))
    ]

    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("see /root/checkout/x", 1),
        ("`/root/.cache/x`", 1),
        ("/home/pi/map", 1),
        ("https://example.com/work/FeatureServer", 0),
        ("~/work/map", 0),
        ("index at https://pypi.org/simple", 1),
        ("as ref/protocol.md says", 1),
        ("docs/DESIGN.md", 0),
        ("TODO later", 1),
    ],
)
def test_the_word_rules_find_what_they_should(text: str, count: int) -> None:
    assert len(foreign_words(text)) == count


def test_nothing_that_is_built_is_committed() -> None:
    built = [p for p in files_of_the_checkout() if p.suffix in {".so", ".o", ".pyc", ".gpkg"}]

    assert not built
