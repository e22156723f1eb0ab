"""The configuration file: what is read from it, and what each mistake is called."""

import json
import re
from pathlib import Path

import pytest

from device import config as configuration
from device.config import Board, Config, LinkUse, credentials, keys
from device.config_reader import ConfigError
from device.model import LinkClass
from engine import ConflictPolicy, SyncDirection
from tests.sources import ROOT

EVERYTHING = """
[device]
name = "truck 7"
state = "state"
log_level = "debug"

[[map]]
name = "trees"
folder = "maps/trees"
direction = "upload"
conflicts = "remote-wins"
full_download = ["wired", "cellular"]

[[map]]
name = "roads"
folder = "/srv/roads"

[links]
interfaces = { usb0 = "cellular", "eth*" = "roaming" }

[links.cellular]
budget_mb = 7
every_minutes = "never"

[links.wifi]
use = "edits"

[lamps]
board = "three"
"""


def read(folder: Path, text: str) -> Config:
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    return Config.read(path)


def test_a_file_without_a_key_gives_the_defaults(tmp_path: Path) -> None:
    assert read(tmp_path, "") == Config()


def test_what_is_given_is_read_and_the_rest_keeps_its_default(tmp_path: Path) -> None:
    config = read(tmp_path, EVERYTHING)

    trees, roads = config.maps
    assert trees.folder == tmp_path / "maps/trees"
    assert trees.direction is SyncDirection.UPLOAD
    assert trees.conflicts is ConflictPolicy.REMOTE_WINS
    assert trees.full_download == (LinkClass.WIRED, LinkClass.CELLULAR)
    assert roads.folder == Path("/srv/roads")
    assert config.device.state == tmp_path / "state"
    assert config.lamps.board is Board.THREE
    assert config.links.interfaces == {"usb0": LinkClass.CELLULAR, "eth*": LinkClass.ROAMING}
    cellular = config.links.of(LinkClass.CELLULAR)
    assert (cellular.budget_bytes, cellular.every_minutes) == (7_000_000, None)
    assert cellular.run_minutes == 20
    assert config.links.wifi.use is LinkUse.EDITS


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[sinc]", "sinc is not known; is 'sync' meant?"),
        ("[lamps]\nbord = 'one'", "lamps.bord is not known; is 'board' meant?"),
        ("[lamps]\nzzz = 1", "lamps.zzz is not known; known are attention, board, "),
        (
            "[lamps]\nboard = 'two'",
            'lamps.board must be one of "none", "one", "three", not \'two\'',
        ),
        ("lamps = 3", "lamps must be a table, not 3"),
        ("map = 3", "map must be a list, not 3"),
        ("[[map]]\nname = 'a'", "map[1].folder is missing"),
        ("[[map]]\nname = 'a b'\nfolder = 'x'", "map[1].name must be letters, digits, - and _"),
        ("[[map]]\nname = 'a'\nfolder = ''", "map[1].folder must be a path, not ''"),
        (
            "[[map]]\nname = 'a'\nfolder = 'x'\ndirection = 'none'",
            "map[1].direction must be one of",
        ),
        (
            "[[map]]\nname = 'a'\nfolder = 'x'\n[[map]]\nname = 'b'\nfolder = './x'",
            "map[2].folder is there twice",
        ),
        (
            "[[map]]\nname = 'a'\nfolder = 'x'\nfull_download = ['radio']",
            'map[1].full_download[1] must be one of "wired", ',
        ),
        ("[modem]\nmode = 'direct'", "modem.apn is missing"),
        ("[modem]\napn = 'a\"b'", "modem.apn cannot have quotes"),
        ("[sync]\nafter_edit_s = -1", "sync.after_edit_s must be a number from 0 to 86400, not -1"),
        ("[sync]\nafter_edit_s = nan", "sync.after_edit_s must be a number from 0 to 86400"),
        ("[sync]\nafter_edit_s = true", "sync.after_edit_s must be a number from 0 to 86400"),
        ("[sync]\nwatch_edits = 1", "sync.watch_edits must be true or false, not 1"),
        (
            "[modem]\nbaud = 9600.5",
            "modem.baud must be a whole number from 300 to 4000000, not 9600.5",
        ),
        (
            "[links.wifi]\nbudget_mb = 'none'",
            "links.wifi.budget_mb must be a number from 0 to 1000000 or \"unlimited\", not 'none'",
        ),
        ("[links.interfaces]\nusb0 = 'lte'", "links.interfaces.usb0 must be one of"),
        ("[button]\nlong_s = 9", "button.short_s, long_s, very_long_s and stuck_s must grow"),
        (f"[socket]\npath = '/{'x' * 103}'", "socket.path may have at most 103 bytes"),
        ("[device]\nname = 'a\tb'", "device.name must be text, not 'a"),
        ("a = 'unfinished", "is no TOML: look at "),
        ("[[map]]\nname = 'a'\nfolder = 1979-05-27", "map[1].folder must be text, not a date"),
    ],
)
def test_a_mistake_is_told_with_its_key_and_what_is_allowed(
    tmp_path: Path, text: str, told: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)

    assert str(tmp_path / "config.toml") in caught.value.message
    assert told in caught.value.message.replace("'./x'", "")


@pytest.mark.parametrize(
    "text",
    [
        "[device]\ntoken = 'hunter2'",
        "[modem]\npassword = 'hunter2'",
        "[modem]\npin = 'hunter2'",
        "token = 'hunter2",
        "[modem]\npin = { hunter2 = 1 }",
    ],
)
def test_a_secret_in_the_file_is_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)

    assert "hunter2" not in str(caught.value)


def test_a_file_that_is_not_there_or_no_text_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        Config.read(tmp_path / "absent.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="no text in UTF-8"):
        Config.read(tmp_path / "binary.toml")


def test_the_configuration_as_plain_values_is_json_under_the_keys_of_the_file(
    tmp_path: Path,
) -> None:
    value = read(tmp_path, EVERYTHING).as_plain()

    assert json.loads(json.dumps(value)) == value
    assert value["map"][0]["conflicts"] == "remote-wins"  # type: ignore[index]
    assert value["links"]["wifi"]["use"] == "edits"  # type: ignore[index]


def test_credentials_come_from_the_file_then_the_service_manager_then_the_environment(
    tmp_path: Path,
) -> None:
    def written(name: str, user: str) -> Path:
        path = tmp_path / name
        path.write_text(
            f"[[credentials]]\nurl = 'https://gis.example.org'\nusername = '{user}'\n"
            "password = 'x'\n"
        )
        path.chmod(0o600)
        return path

    own = written("own.toml", "from the file")
    written(configuration.CREDENTIAL_NAME, "from the manager")
    environment = {
        "FIELDSYNC_CREDENTIAL_URL": "https://gis.example.org",
        "FIELDSYNC_TOKEN": "from-the-environment",
    }
    handed = {"CREDENTIALS_DIRECTORY": str(tmp_path)} | environment
    with_file = read(tmp_path, f"[device]\ncredentials = '{own}'").device

    (first,) = credentials(with_file, handed).credentials
    (second,) = credentials(Config().device, handed).credentials
    (third,) = credentials(Config().device, environment).credentials

    assert (first.username, second.username) == ("from the file", "from the manager")
    assert third.secrets == ("from-the-environment",)
    assert not credentials(Config().device, {})


@pytest.mark.checkout
def test_the_page_of_the_device_has_every_key_with_its_default_and_no_other() -> None:
    page = (ROOT / "docs/device.md").read_text(encoding="utf-8")
    section = page.split("\n## Configuration\n")[1].split("\n## ")[0]
    told = dict(re.findall(r"^\| `([\w.]+)` \| (.*?) ?\| ", section, re.MULTILINE))

    assert told == dict(keys())
