"""What the daemon signs in with may be another while it runs."""

import logging
import os
from pathlib import Path

import pytest

from device.config import DeviceConfig
from device.kept_credentials import KeptCredentials
from device.log import JournalFormatter
from engine import EngineError

URL = "https://gis.example.org/arcgis"


def write(path: Path, token: str) -> None:
    """As a program does that replaces the file."""
    fresh = path.with_suffix(".new")
    fresh.write_text(f'[[credentials]]\nurl = "{URL}"\ntoken = "{token}"\n', encoding="utf-8")
    fresh.chmod(0o600)
    os.replace(fresh, path)


def token_of(kept: KeptCredentials) -> list[str]:
    return [secret for one in kept.store().credentials for secret in one.secrets]


def test_a_file_that_was_changed_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "credentials.toml"
    write(path, "first")
    kept = KeptCredentials(DeviceConfig(credentials=path), {})
    before, store = token_of(kept), kept.store()
    same = kept.store()
    write(path, "second")

    assert before == ["first"]
    assert same is store
    assert token_of(kept) == ["second"]
    assert kept.secrets == {"first", "second"}


def test_the_mark_of_credentials_is_another_when_they_are_and_holds_nothing_of_them(
    tmp_path: Path,
) -> None:
    path = tmp_path / "credentials.toml"
    write(path, "first")
    config = DeviceConfig(credentials=path)
    kept = KeptCredentials(config, {})
    before = kept.mark
    after_restart = KeptCredentials(config, {}).mark
    write(path, "other")
    unread = kept.mark
    kept.store()

    assert before == after_restart == unread, "it is that of what was signed in with"
    assert kept.mark != before
    assert before is not None
    assert set(before) <= set("0123456789-")


def test_the_mark_of_credentials_that_are_handed_over_is_that_of_where_they_come_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source.toml"
    monkeypatch.setattr("device.kept_credentials.HANDED_FROM", source)

    def started() -> str | None:
        write(tmp_path / "credentials", "handed")  # by each start anew
        return KeptCredentials(DeviceConfig(), {"CREDENTIALS_DIRECTORY": str(tmp_path)}).mark

    elsewhere = started()
    write(source, "handed")
    before, again = started(), started()
    write(source, "other")

    assert elsewhere is None
    assert before is not None
    assert before == again != started()
    assert KeptCredentials(DeviceConfig(), {}).mark is None


@pytest.mark.parametrize("damage", ["gone", "open to all", "half written"])
def test_a_file_that_cannot_be_used_leaves_the_last_credentials_until_it_can(
    tmp_path: Path, damage: str
) -> None:
    path = tmp_path / "credentials.toml"
    write(path, "first")
    kept = KeptCredentials(DeviceConfig(credentials=path), {})
    if damage == "gone":
        path.unlink()
    else:
        path.write_text('[[credentials]]\nurl = "https' if damage == "half written" else "")
        path.chmod(0o600 if damage == "half written" else 0o666)
    meanwhile = token_of(kept)
    write(path, "second")

    assert meanwhile == ["first"]
    assert token_of(kept) == ["second"]


def test_a_file_that_is_not_there_at_the_start_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="cannot read"):
        KeptCredentials(DeviceConfig(credentials=tmp_path / "none"), {})


def test_what_the_service_manager_hands_over_is_used(tmp_path: Path) -> None:
    write(tmp_path / "credentials", "handed")

    kept = KeptCredentials(DeviceConfig(), {"CREDENTIALS_DIRECTORY": str(tmp_path)})

    assert token_of(kept) == ["handed"]


def test_a_secret_that_came_later_is_not_logged_either(tmp_path: Path) -> None:
    path = tmp_path / "credentials.toml"
    write(path, "first")
    kept = KeptCredentials(DeviceConfig(credentials=path), {})
    formatter = JournalFormatter(kept.secrets)
    write(path, "second")
    kept.store()

    record = logging.makeLogRecord({"msg": "second and first", "levelno": logging.INFO})

    assert formatter.format(record).endswith("*** and ***")
