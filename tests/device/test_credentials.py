"""Signing in from the command line: files, the environment, and every way to be refused."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from device.cli_parser import make_parser
from tests.device.conftest import Command, Ended, ServiceThread, write_world
from tests.feature_service import Security
from tests.sources import ROOT

PASSWORD, SECRET, KEY = "correct horse 7", "client-secret-7", "key-secret-7"
VARIABLES = ("CREDENTIALS", "CREDENTIAL_URL", "USERNAME", "PASSWORD", "TOKEN", "API_KEY")


@pytest.fixture(scope="module")
def park(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a service that wants tokens."""
    data = tmp_path_factory.mktemp("guarded")
    write_world(data)
    security = Security(
        users={"ann": PASSWORD},
        clients={"app": SECRET},
        api_keys={KEY: "robot"},
        owners=frozenset({"ann", "app", "robot"}),
    )
    with ServiceThread(data, security) as service:
        yield service.urls["park"]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(f"FIELDSYNC_{name}", raising=False)


def write(folder: Path, **entry: str) -> Path:
    """A file of credentials with that one entry."""
    path = folder / "credentials.toml"
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in entry.items())
    path.write_text(f"[[credentials]]\n{lines}")
    path.chmod(0o600)
    return path


def verbs_with_network() -> list[str]:
    """As docs/cli.md has them."""
    rows = re.findall(r"^\| `(\w+).*\| yes \|$", (ROOT / "docs/cli.md").read_text(), re.MULTILINE)
    assert len(rows) > 3
    return rows


def is_one_line(ended: Ended) -> bool:
    return ended.err.count("\n") == 1 and ended.err.startswith("fieldsync: ")


def test_a_user_takes_syncs_and_unregisters_with_a_file(
    fieldsync: Command, park: str, tmp_path: Path
) -> None:
    file = write(tmp_path, url=park, username="ann", password=PASSWORD)
    folder = tmp_path / "map"

    for words in (("take", park, folder), ("sync", folder), ("unregister", folder)):
        ended = fieldsync(*words, "--credentials", file)
        assert ended.code == 0, ended.err

    for path in folder.rglob("*"):
        assert path.is_dir() or PASSWORD.encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    "variables",
    [
        {"USERNAME": "ann", "PASSWORD": PASSWORD},
        {"API_KEY": KEY},
        {"TOKEN": KEY},
    ],
)
def test_the_environment_may_hold_the_secrets(
    variables: dict[str, str],
    fieldsync: Command,
    park: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FIELDSYNC_CREDENTIAL_URL", park)
    for name, value in variables.items():
        monkeypatch.setenv(f"FIELDSYNC_{name}", value)

    ended = fieldsync("take", park, tmp_path / "map", "--no-attachments")

    assert ended.code == 0, ended.err


def test_the_environment_may_name_the_file(
    fieldsync: Command, park: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path, url=park, api_key=KEY)
    monkeypatch.setenv("FIELDSYNC_CREDENTIALS", str(file))

    ended = fieldsync("take", park, tmp_path / "map", "--no-attachments")

    assert ended.code == 0, ended.err


def test_a_wrong_password_is_one_line_with_the_host_and_the_user(
    fieldsync: Command, park: str, tmp_path: Path
) -> None:
    file = write(tmp_path, url=park, username="ann", password="wrong pass 7")

    ended = fieldsync("take", park, tmp_path / "map", "--credentials", file)

    assert ended.code == 4
    assert is_one_line(ended), ended.err
    assert urlsplit(park).netloc in ended.err
    assert "the user ann" in ended.err
    assert "wrong pass 7" not in ended.err
    assert not (tmp_path / "map").exists()


@pytest.mark.parametrize("option", ["--debug", "--json"])
def test_what_a_failing_verb_tells_holds_no_secret(
    option: str, fieldsync: Command, park: str, tmp_path: Path
) -> None:
    for entry in (
        {"username": "ann", "password": "wrong pass 7"},
        {"client_id": "app", "client_secret": "wrong pass 7"},
        {"token": "wrong-pass-7"},
        {"api_key": "wrong-pass-7"},
    ):
        file = write(tmp_path, url=park, **entry)

        ended = fieldsync("take", park, tmp_path / "map", "--credentials", file, option)

        assert ended.code == 4, (entry, ended)
        assert not [w for w in ("wrong pass 7", "wrong-pass-7") if w in ended.out + ended.err]


def test_what_a_working_verb_logs_holds_no_secret(
    fieldsync: Command, park: str, tmp_path: Path
) -> None:
    file = write(tmp_path, url=park, username="ann", password=PASSWORD)

    ended = fieldsync("take", park, tmp_path / "map", "--credentials", file, "--debug")

    assert ended.code == 0
    assert "signed in at" in ended.err
    assert PASSWORD not in ended.err
    assert "Bearer" not in ended.err


def test_a_sync_without_credentials_names_the_host_and_keeps_the_edits(
    fieldsync: Command, park: str, tmp_path: Path
) -> None:
    file = write(tmp_path, url=park, username="ann", password=PASSWORD)
    assert fieldsync("take", park, tmp_path / "map", "--credentials", file).code == 0

    ended = fieldsync("sync", tmp_path / "map")

    assert ended.code == 4
    assert is_one_line(ended), ended.err
    assert f"no sign-in at {urlsplit(park).netloc}" in ended.err
    assert f"Give credentials for {urlsplit(park).netloc}" in ended.err


def test_a_file_that_others_can_read_is_not_used(
    fieldsync: Command, park: str, tmp_path: Path
) -> None:
    file = write(tmp_path, url=park, username="ann", password=PASSWORD)
    file.chmod(0o644)

    ended = fieldsync("take", park, tmp_path / "map", "--credentials", file)

    assert ended.code == 4
    assert is_one_line(ended)
    assert f"chmod 600 '{file}'" in ended.err


@pytest.mark.checkout
def test_every_verb_that_needs_a_network_takes_credentials() -> None:
    parsers = next(a for a in make_parser()._actions if a.dest == "verb").choices
    assert isinstance(parsers, dict)

    without = {v for v in verbs_with_network() if "--credentials" not in parsers[v].format_help()}

    assert without == {"doctor", "bundle"}  # they ask one question, and sign in nowhere


def test_a_map_is_registered_again_with_credentials(
    fieldsync: Command, park: str, tmp_path: Path
) -> None:
    file = write(tmp_path, url=park, username="ann", password=PASSWORD)
    folder = tmp_path / "map"
    for words in (("take", park, folder), ("unregister", folder)):
        assert fieldsync(*words, "--credentials", file).code == 0

    without = fieldsync("register", folder)
    ended = fieldsync("register", folder, "--credentials", file)

    assert without.code == 4
    assert ended.code == 0, ended.err
