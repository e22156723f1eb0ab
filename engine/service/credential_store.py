"""Where credentials are kept, and which of them is for a URL. From a file, or the environment.

Sources: ArcGIS Maps SDK, "ArcGISCredentialStore"; TOML 1.0.
"""

import json
import os
import re
import stat
import tomllib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from engine.errors import CredentialsError
from engine.service.credentials import (
    ApiKey,
    ArcGISCredential,
    OAuthApplicationCredential,
    PregeneratedTokenCredential,
    TokenCredential,
    TokenInfo,
)
from engine.service.hosts import context_path, is_arcgis_online, is_same_host

MAX_FILE_BYTES = 1024 * 1024

_KINDS = (
    frozenset({"username", "password"}),
    frozenset({"client_id", "client_secret"}),
    frozenset({"token"}),
    frozenset({"api_key"}),
)
_ALSO = {
    "username": frozenset({"token_expiration_interval"}),
    "client_id": frozenset({"token_expiration_interval"}),
    "token": frozenset({"referer", "expires"}),
    "api_key": frozenset({"referer"}),
}
_EVERY = frozenset({"url", "allow_http"})
_VARIABLES = {
    "FIELDSYNC_CREDENTIAL_URL": "url",
    "FIELDSYNC_USERNAME": "username",
    "FIELDSYNC_PASSWORD": "password",
    "FIELDSYNC_CLIENT_ID": "client_id",
    "FIELDSYNC_CLIENT_SECRET": "client_secret",
    "FIELDSYNC_TOKEN": "token",
    "FIELDSYNC_API_KEY": "api_key",
    "FIELDSYNC_REFERER": "referer",
}


class ArcGISCredentialStore:
    """Credentials for several hosts; the best match for a URL is used."""

    def __init__(self, credentials: Iterable[ArcGISCredential] = ()) -> None:
        self.credentials: list[ArcGISCredential] = []
        for credential in credentials:
            self.add(credential)

    def __bool__(self) -> bool:
        return bool(self.credentials)

    def add(self, credential: ArcGISCredential) -> None:
        """Keep a credential; it replaces one for the same URL."""
        same = [c for c in self.credentials if c.url.rstrip("/") == credential.url.rstrip("/")]
        for old in same:
            self.credentials.remove(old)
        self.credentials.append(credential)

    def remove(self, credential: ArcGISCredential) -> bool:
        """Forget a credential; False if it was not there."""
        if credential not in self.credentials:
            return False
        self.credentials.remove(credential)
        return True

    def remove_all(self) -> None:
        """Forget all of them."""
        self.credentials.clear()

    def get_credential(self, url: str) -> ArcGISCredential | None:
        """The one for the host of ``url``: of several that whose own URL fits furthest.

        Every host of ArcGIS Online takes a credential for any of them.
        """
        here = [c for c in self.credentials if is_same_host(c.url, url)]
        if here:
            return max(here, key=lambda c: _fits(c.url, url))
        if is_arcgis_online(url):
            return next((c for c in self.credentials if is_arcgis_online(c.url)), None)
        return None

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """The credentials in a TOML or JSON file: a list ``credentials`` of objects.

        Each has a ``url`` and one of ``username`` with ``password``, ``client_id`` with
        ``client_secret``, ``token``, ``api_key``. :exc:`CredentialsError` if the file cannot be
        used, or if other users of this machine can read or change it.
        """
        path = Path(path)
        text = _read(path)
        is_json = path.suffix.casefold() == ".json" or text.lstrip().startswith("{")
        value = _parsed(path, text, is_json=is_json)
        entries = value.get("credentials")
        if not isinstance(entries, list) or set(value) != {"credentials"}:
            raise CredentialsError(
                f"{path} has no list of credentials",
                remedy="docs/cli.md shows such a file",
            )
        return cls(_credential(f"{path}, entry {n}", e) for n, e in enumerate(entries, 1))

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """The file that ``FIELDSYNC_CREDENTIALS`` names, or the credential in other variables.

        Those are ``FIELDSYNC_CREDENTIAL_URL`` with ``FIELDSYNC_USERNAME`` and
        ``FIELDSYNC_PASSWORD``, ``FIELDSYNC_CLIENT_ID`` and ``FIELDSYNC_CLIENT_SECRET``,
        ``FIELDSYNC_TOKEN`` or ``FIELDSYNC_API_KEY``. Without any of them it is empty.
        """
        file = environment.get("FIELDSYNC_CREDENTIALS")
        if file:
            return cls.from_file(file)
        given = {
            key: environment[name] for name, key in _VARIABLES.items() if environment.get(name)
        }
        if not given:
            return cls()
        if "url" not in given:
            raise CredentialsError(
                "the environment has credentials, but does not say for which service",
                remedy="Set FIELDSYNC_CREDENTIAL_URL to the URL of the service or its portal",
            )
        return cls([_credential("the environment", given)])


def _fits(own: str, url: str) -> int:
    """How much of ``url`` a credential's own URL is a prefix of; 0 if it only has its host."""
    path, wanted = (u.split("?")[0].partition("://")[2].casefold().rstrip("/") for u in (own, url))
    if f"{wanted}/".startswith(f"{path}/"):
        return 1000 + len(path)
    return 500 if context_path(own) == context_path(url) else 0


def _read(path: Path) -> str:
    try:
        with open(path, "rb") as stream:
            facts = os.fstat(stream.fileno())
            _check_is_ours(path, facts)
            data = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise CredentialsError(
            f"cannot read the credentials in {path}: {error.strerror}",
            remedy="Give a file that this user may read",
        ) from None
    if len(data) > MAX_FILE_BYTES:
        raise CredentialsError(f"{path} is larger than {MAX_FILE_BYTES} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise CredentialsError(f"{path} is no text in UTF-8") from None


def _check_is_ours(path: Path, facts: os.stat_result) -> None:
    """A secret that others know is none, and what others can change may send ours to them."""
    if not stat.S_ISREG(facts.st_mode):
        raise CredentialsError(f"{path} is no file")
    if facts.st_uid not in (0, os.geteuid()):
        raise CredentialsError(
            f"{path} belongs to another user",
            remedy=f"Make it your own: chown $(id -u) '{path}'",
        )
    if facts.st_mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise CredentialsError(
            f"other users can read or change {path}",
            remedy=f"Keep it to yourself: chmod 600 '{path}'",
        )


def _parsed(path: Path, text: str, *, is_json: bool) -> dict[str, object]:
    """Errors name the line only: the parsers' own words may quote what stands there."""
    kind = "JSON" if is_json else "TOML"
    try:
        value = json.loads(text) if is_json else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None) or _line_in(str(error))
        where = f", line {line}" if line else ""
        raise CredentialsError(f"{path}{where}: this is no {kind}") from None
    if not isinstance(value, dict):
        raise CredentialsError(f"{path} has no list of credentials")
    return value


def _line_in(message: str) -> str:
    found = re.search(r"at line (\d+)", message)
    return found[1] if found else ""


def _credential(where: str, entry: object) -> ArcGISCredential:
    if not isinstance(entry, dict):
        raise CredentialsError(f"{where}: this is no object with url and secrets")
    given = set(entry)
    kinds = [kind for kind in _KINDS if kind & given]
    if len(kinds) != 1 or not kinds[0] <= given or "url" not in given:
        raise CredentialsError(
            f"{where}: this needs url and one of username and password, client_id and "
            "client_secret, token, api_key"
        )
    (kind,) = kinds
    also = next(names for name, names in _ALSO.items() if name in kind)
    if unknown := sorted(str(name) for name in given - kind - also - _EVERY):
        raise CredentialsError(f"{where}: {unknown[0]!r} is not known there")
    for name in sorted((kind | {"url", "referer"}) & given):
        if not isinstance(entry[name], str):
            raise CredentialsError(f"{where}: {name} must be text")
    if not isinstance(entry.get("allow_http", False), bool):
        raise CredentialsError(f"{where}: allow_http must be true or false")
    minutes = entry.get("token_expiration_interval", 1)
    if not isinstance(minutes, int) or isinstance(minutes, bool) or minutes < 1:
        raise CredentialsError(f"{where}: token_expiration_interval must be a number of minutes")
    try:
        return _made(entry)
    except CredentialsError as error:
        raise CredentialsError(f"{where}: {error.message}", remedy=error.remedy) from None


def _made(entry: Mapping[str, object]) -> ArcGISCredential:
    url, allow_http = str(entry["url"]), entry.get("allow_http") is True
    referer = str(entry.get("referer", ""))
    interval = entry.get("token_expiration_interval")
    minutes = interval if isinstance(interval, int) else None
    if "username" in entry:
        user, password = str(entry["username"]), str(entry["password"])
        return TokenCredential(url, user, password, minutes, allow_http=allow_http)
    if "client_id" in entry:
        client, secret = str(entry["client_id"]), str(entry["client_secret"])
        return OAuthApplicationCredential(url, client, secret, minutes, allow_http=allow_http)
    if "token" in entry:
        info = TokenInfo(
            access_token=str(entry["token"]), expiration_date=_moment(entry.get("expires"))
        )
        return PregeneratedTokenCredential(url, info, referer, allow_http=allow_http)
    return ApiKey(str(entry["api_key"]), url, referer=referer, allow_http=allow_http)


def _moment(value: object) -> datetime | None:
    """A date and time, as TOML has them or as text (ISO 8601)."""
    if value is None:
        return None
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        raise CredentialsError(
            "expires must be a date and time like 2027-01-31T12:00:00Z"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
