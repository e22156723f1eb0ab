"""Credentials: which is for a URL, what a file of them may look like, and what they never tell."""

import copy
import json
import os
import pickle
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine.errors import CredentialsError
from engine.service.credential_store import ArcGISCredentialStore
from engine.service.credentials import (
    ApiKey,
    ArcGISCredential,
    OAuthApplicationCredential,
    PregeneratedTokenCredential,
    TokenCredential,
    TokenInfo,
)

GIS = "https://gis.example.org"
MARK = "s3cr3t-mark"

TOML = f"""
[[credentials]]
url = "{GIS}/server"
username = "ann"
password = "{MARK}"
token_expiration_interval = 30

[[credentials]]
url = "https://portal.example.org/portal"
client_id = "app"
client_secret = "{MARK}"

[[credentials]]
url = "https://other.example.org"
token = "{MARK}"
referer = "https://office.example.org"
expires = 2027-01-31T12:00:00Z

[[credentials]]
url = "http://closed.example.org"
api_key = "{MARK}"
allow_http = true
"""


def write(folder: Path, text: str, name: str = "credentials.toml", mode: int = 0o600) -> Path:
    path = folder / name
    path.write_text(text)
    path.chmod(mode)
    return path


def key(url: str) -> ApiKey:
    return ApiKey(MARK, url)


# --- which one ------------------------------------------------------------------------------------


def test_the_credential_whose_url_fits_furthest_is_used() -> None:
    host, server, service = key(GIS), key(f"{GIS}/server"), key(f"{GIS}/server/rest/services/Trees")
    store = ArcGISCredentialStore([server, service, host])

    trees = f"{GIS}/server/rest/services/Trees/FeatureServer/0"
    assert store.get_credential(trees) is service
    assert store.get_credential(f"{GIS}/server/rest/services/TreesNot/FeatureServer") is server
    assert store.get_credential(f"{GIS}/portal/sharing/rest") is host
    assert store.get_credential(f"{GIS}:6443/server/rest/services/Trees") is None
    assert store.get_credential("https://gis.example.org.evil.net/server/rest/services") is None


def test_arcgis_online_takes_one_credential_for_all_its_hosts() -> None:
    online = key("https://city.maps.arcgis.com")
    store = ArcGISCredentialStore([key(GIS), online])

    assert store.get_credential("https://services1.arcgis.com/X/arcgis/rest/services/T") is online
    assert store.get_credential("http://services1.arcgis.com/X/arcgis/rest/services/T") is None


def test_a_credential_replaces_one_for_the_same_url_and_can_be_removed() -> None:
    first, second = key(GIS), key(f"{GIS}/")
    store = ArcGISCredentialStore([first, second])

    assert store.credentials == [second]
    assert store.remove(second)
    assert not store.remove(second)
    assert not store
    store.add(first)
    store.remove_all()
    assert store.get_credential(GIS) is None


# --- from a file ----------------------------------------------------------------------------------


def check(store: ArcGISCredentialStore) -> None:
    user, app, token, api_key = store.credentials
    assert isinstance(user, TokenCredential)
    assert (user.url, user.username, user.secret) == (f"{GIS}/server", "ann", MARK)
    assert (user.token_expiration_interval, user.referer) == (30, GIS)
    assert isinstance(app, OAuthApplicationCredential)
    assert (app.portal_url, app.client_id) == ("https://portal.example.org/portal", "app")
    assert app.secret == MARK
    assert app.token_expiration_interval == 60
    assert isinstance(token, PregeneratedTokenCredential)
    assert (token.token, token.referer) == (MARK, "https://office.example.org")
    assert token.token_info.expiration_date == datetime(2027, 1, 31, 12, tzinfo=UTC)
    assert isinstance(api_key, ApiKey)
    assert api_key.allow_http


def test_a_toml_file_holds_every_kind(tmp_path: Path) -> None:
    check(ArcGISCredentialStore.from_file(write(tmp_path, TOML)))


def test_a_json_file_holds_the_same(tmp_path: Path) -> None:
    entries = [
        {
            "url": f"{GIS}/server",
            "username": "ann",
            "password": MARK,
            "token_expiration_interval": 30,
        },
        {
            "url": "https://portal.example.org/portal",
            "client_id": "app",
            "client_secret": MARK,
        },
        {
            "url": "https://other.example.org",
            "token": MARK,
            "referer": "https://office.example.org",
            "expires": "2027-01-31T12:00:00Z",
        },
        {"url": "http://closed.example.org", "api_key": MARK, "allow_http": True},
    ]
    text = "\ufeff" + json.dumps({"credentials": entries})

    check(ArcGISCredentialStore.from_file(write(tmp_path, text, "credentials.json")))


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640, 0o440])
def test_a_file_for_its_owner_and_perhaps_a_group_is_used(mode: int, tmp_path: Path) -> None:
    assert ArcGISCredentialStore.from_file(write(tmp_path, TOML, mode=mode))


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o601, 0o620, 0o644, 0o777])
def test_a_file_that_others_can_read_or_change_is_refused(mode: int, tmp_path: Path) -> None:
    path = write(tmp_path, TOML, mode=mode)

    with pytest.raises(CredentialsError, match="other users can read or change") as caught:
        ArcGISCredentialStore.from_file(path)

    assert f"chmod 600 '{path}'" in caught.value.remedy


def test_a_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, TOML)
    own = os.stat(path).st_uid
    monkeypatch.setattr(os, "geteuid", lambda: own + 7)
    if own == 0:
        os.chown(path, 4711, -1)

    with pytest.raises(CredentialsError, match="belongs to another user"):
        ArcGISCredentialStore.from_file(path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f'password = "{MARK}', "this is no TOML"),
        (f"\n\n[[credentials]]\npassword = {MARK}\n", "line 4: this is no TOML"),
        (f'{{"credentials": [{MARK}]}}', "line 1: this is no JSON"),
        ("{" * 100_000, "this is no JSON"),
        ("", "no list of credentials"),
        (f'credentials = "{MARK}"', "no list of credentials"),
        (f'[credentials]\npassword = "{MARK}"', "no list of credentials"),
        (f'more = "{MARK}"\n[[credentials]]', "no list of credentials"),
        (f'credentials = ["{MARK}"]', "entry 1: this is no object"),
        (f'[[credentials]]\ntoken = "{MARK}"', "entry 1: this needs url and one of"),
        (f'[[credentials]]\nurl = "{GIS}"\npassword = "{MARK}"', "entry 1: this needs url"),
        (
            f'[[credentials]]\nurl = "{GIS}"\ntoken = "{MARK}"\napi_key = "{MARK}"',
            "entry 1: this needs url",
        ),
        (
            f'[[credentials]]\nurl = "{GIS}"\ntoken = "{MARK}"\npasword = "{MARK}"',
            "entry 1: 'pasword' is not known there",
        ),
        (
            f'[[credentials]]\nurl = "{GIS}"\napi_key = "{MARK}"\nexpires = 1',
            "entry 1: 'expires' is not known there",
        ),
        (f'[[credentials]]\nurl = "{GIS}"\ntoken = ["{MARK}"]', "entry 1: token must be text"),
        (f'[[credentials]]\nurl = "{GIS}"\ntoken = ""', "the token for gis.example.org is empty"),
        (f'[[credentials]]\nurl = "{GIS}"\ntoken = "{MARK}\\nX: y"', "do not belong there"),
        (f'[[credentials]]\nurl = "{GIS}"\ntoken = "{MARK} ä"', "do not belong there"),
        (f'[[credentials]]\nurl = "{GIS}"\nusername = ""\npassword = "{MARK}"', "is empty"),
        (
            f'[[credentials]]\nurl = "{GIS}"\ntoken = "{MARK}"\nexpires = "{MARK}"',
            "expires must be a date and time",
        ),
        (
            f'[[credentials]]\nurl = "{GIS}"\nusername = "a"\npassword = "{MARK}"\n'
            "token_expiration_interval = 0",
            "must be a number of minutes",
        ),
        (f'[[credentials]]\nurl = "{GIS}"\ntoken = "{MARK}"\nallow_http = 1', "true or false"),
        (f'[[credentials]]\nurl = "http://gis.example.org"\ntoken = "{MARK}"', "is not https"),
        (f'[[credentials]]\nurl = "https://a:{MARK}@h"\ntoken = "t"', "user or password in it"),
        (f'[[credentials]]\nurl = "a:{MARK}@h"\ntoken = "t"', "user or password in it"),
        (f'[[credentials]]\nurl = "gis.example.org"\ntoken = "{MARK}"', "not an http or https URL"),
    ],
    ids=lambda value: value[:20].strip(),
)
def test_a_file_that_is_wrong_is_told_without_its_secrets(
    text: str, says: str, tmp_path: Path
) -> None:
    path = write(tmp_path, text)

    with pytest.raises(CredentialsError) as caught:
        ArcGISCredentialStore.from_file(path)

    assert says in str(caught.value), str(caught.value)
    assert str(path) in str(caught.value)
    assert MARK not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_what_is_no_readable_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match="No such file"):
        ArcGISCredentialStore.from_file(tmp_path / "none")
    with pytest.raises(CredentialsError, match="directory"):
        ArcGISCredentialStore.from_file(tmp_path)
    large = write(tmp_path, "#" * 2_000_000)
    with pytest.raises(CredentialsError, match="larger than"):
        ArcGISCredentialStore.from_file(large)
    binary = write(tmp_path, "")
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(CredentialsError, match="UTF-8"):
        ArcGISCredentialStore.from_file(binary)


# --- from the environment -------------------------------------------------------------------------


def test_the_environment_names_a_file_or_holds_one_credential(tmp_path: Path) -> None:
    named = {"FIELDSYNC_CREDENTIALS": str(write(tmp_path, TOML)), "FIELDSYNC_TOKEN": "other"}

    check(ArcGISCredentialStore.from_environment(named))
    (user,) = ArcGISCredentialStore.from_environment(
        {
            "FIELDSYNC_CREDENTIAL_URL": GIS,
            "FIELDSYNC_USERNAME": "ann",
            "FIELDSYNC_PASSWORD": MARK,
            "HOME": "/home/ann",
        }
    ).credentials
    assert isinstance(user, TokenCredential)
    assert not ArcGISCredentialStore.from_environment({"HOME": "/home/ann"})


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"FIELDSYNC_TOKEN": MARK}, "FIELDSYNC_CREDENTIAL_URL"),
        ({"FIELDSYNC_CREDENTIAL_URL": GIS, "FIELDSYNC_USERNAME": "ann"}, "this needs url and one"),
    ],
)
def test_an_environment_that_says_half_is_refused(variables: dict[str, str], says: str) -> None:
    with pytest.raises(CredentialsError) as caught:
        ArcGISCredentialStore.from_environment(variables)

    assert says in str(caught.value)
    assert MARK not in str(caught.value)


# --- what they tell -------------------------------------------------------------------------------

MADE: list[Callable[[], ArcGISCredential]] = [
    lambda: TokenCredential(GIS, "ann", MARK),
    lambda: OAuthApplicationCredential(GIS, "app", MARK),
    lambda: PregeneratedTokenCredential(GIS, TokenInfo(access_token=MARK)),
    lambda: ApiKey(MARK, GIS),
]


@pytest.mark.parametrize("number", range(len(MADE)))
def test_a_credential_shows_its_host_and_never_its_secret(number: int) -> None:
    credential = MADE[number]()

    shown = f"{credential!r} {credential} {[credential]}"

    assert GIS in shown
    assert MARK not in shown
    for into_a_file in (pickle.dumps, copy.deepcopy, json.dumps):
        with pytest.raises(TypeError) as caught:
            into_a_file(credential)
        assert MARK not in str(caught.value)


def test_token_info_does_not_show_the_token() -> None:
    assert MARK not in repr(TokenInfo(access_token=MARK))
