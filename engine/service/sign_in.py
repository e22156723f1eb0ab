"""Signing in: from a credential to the headers of a request, and a new token when one expires.

    fixed token ─────────────────────────────▶ the server
    user, password ─▶ the server's token service ─▶ the server
    user, password, client id ─▶ the portal ─▶ a token for the server that belongs to it

Which of them is found out by ``rest/info`` of the server. A portal's token is shown to no other
host but the portal: it is exchanged there for one that only that server takes, and a portal gives
none for a server that is not its own. ArcGIS Online alone takes one token on all its hosts.

Sources: ArcGIS REST API, "Server info", "Generate token", "Token" (OAuth 2.0), "HTTP authorization
headers".
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import urljoin

from engine.clock import Clock
from engine.errors import (
    AuthenticationError,
    CredentialsError,
    ProtocolError,
    ServiceBusyError,
    ServiceRefusedError,
)
from engine.layer_schema import JsonObject
from engine.service.answer import SMALL_ERROR_BYTES, json_object, raise_error_in
from engine.service.credential_store import ArcGISCredentialStore
from engine.service.credentials import (
    ArcGISCredential,
    FixedCredential,
    Grant,
    OAuthApplicationCredential,
    SignInCredential,
    TokenCredential,
)
from engine.service.hosts import (
    context_path,
    host_name,
    is_arcgis_online,
    is_portal_url,
    is_same_host,
    server_context,
)

log = logging.getLogger(__name__)

Credentials = ArcGISCredential | ArcGISCredentialStore
"""What a task takes as ``credential``: one, or a store from which the host's is chosen."""

ARCGIS_ONLINE = "https://www.arcgis.com"
HEADER = "X-Esri-Authorization"
"""Taken where a web server in front of ArcGIS wants ``Authorization`` for itself, too."""


class SignInRefusedError(AuthenticationError):
    """The credential itself was refused, so a request need not be tried again."""


class Asker(Protocol):
    """Asks without a credential."""

    @property
    def clock(self) -> Clock: ...

    async def ask(
        self, url: str, form: Mapping[str, str] | None = None
    ) -> tuple[JsonObject, datetime | None]:
        """The JSON object that a GET, or a POST of ``form``, gives; and the time of the server."""


@dataclass(frozen=True, slots=True)
class _ServerInfo:
    """What ``rest/info`` says: the portal, empty for a server alone; and who gives tokens."""

    portal: str
    token_service: str


class SignIn:
    """Gives a session's requests their headers. Tokens are kept in the credentials."""

    def __init__(self, credentials: Credentials | None, asker: Asker) -> None:
        if credentials is None:
            credentials = ArcGISCredentialStore()
        elif isinstance(credentials, ArcGISCredential):
            credentials = ArcGISCredentialStore([credentials])
        self._store = credentials
        self._asker = asker
        self._infos: dict[str, _ServerInfo] = {}

    async def grant(self, url: str) -> Grant | None:
        """The token for ``url``, fresh; None if there is no credential for its host."""
        credential = await self._credential(url)
        if credential is None:
            return None
        credential.check_is_private(url)
        root = server_context(url)
        async with credential.lock:
            grant = credential.grants.get(root)
            if grant is None or not grant.is_fresh:
                grant = await self._granted(credential, url, root)
                credential.grants[root] = grant
        return grant

    def give_up(self, url: str, refused: Grant | None) -> bool:
        """Forget a token that the service refused; True if there will be another one."""
        if refused is None or not refused.is_renewable:
            return False
        for credential in self._store.credentials:
            for root, grant in list(credential.grants.items()):
                if grant.token == refused.token:
                    log.info("%s refused a token; signing in again", host_name(url))
                    del credential.grants[root]
        return True

    def explained(
        self, url: str, refused: Grant | None, error: AuthenticationError
    ) -> AuthenticationError:
        """``error`` of a request to ``url``, with what a person can do about it."""
        host = host_name(url)
        if isinstance(error, SignInRefusedError) or error.service_code == 407:
            return error
        if refused is None:
            known = ", ".join(sorted({host_name(c.url) for c in self._store.credentials}))
            others = f"; those given are for {known}" if known else ""
            remedy = f"Give credentials for {host}{others}"
        elif refused.is_renewable:
            remedy = f"{host} refuses the token that it has just given: ask its owner"
        else:
            remedy = f"The token for {host} has expired or is wrong: give a new one"
        told = AuthenticationError(
            f"no sign-in at {host}: {error.message}",
            service_code=error.service_code,
            extended_code=error.extended_code,
            details=error.details,
            remedy=remedy,
        )
        self.hide_secrets(told)
        return told

    def hide_secrets(self, error: ServiceRefusedError) -> None:
        """Take out of an error's words what a server repeated of what it was sent."""
        error.message = self.without_secrets(error.message)
        error.args = (error.message,)
        error.details = tuple(self.without_secrets(text) for text in error.details)

    def without_secrets(self, text: str) -> str:
        """``text`` of a server that may repeat what it was sent."""
        for credential in self._store.credentials:
            for secret in credential.secrets:
                text = text.replace(secret, "***")
        return text

    # --- which credential -------------------------------------------------------------------------

    async def _credential(self, url: str) -> ArcGISCredential | None:
        found = self._store.get_credential(url)
        if found is not None or not self._store or "/rest/services/" not in url.casefold():
            return found
        portal = (await self._info(server_context(url))).portal
        return self._store.get_credential(portal) if portal else None

    async def _info(self, root: str) -> _ServerInfo:
        if root not in self._infos:
            self._infos[root] = await self._asked_info(root)
        return self._infos[root]

    async def _asked_info(self, root: str) -> _ServerInfo:
        default = f"{root}/tokens/generateToken"
        try:
            answer, _ = await self._asker.ask(f"{root}/rest/info")
        except ServiceBusyError:
            raise
        except (ProtocolError, ServiceRefusedError):
            return _ServerInfo("", default)  # old servers do not have it
        portal = answer.get("owningSystemUrl")
        security = answer.get("authInfo")
        service = security.get("tokenServicesUrl") if isinstance(security, dict) else None
        return _ServerInfo(
            server_context(portal) if isinstance(portal, str) and portal else "",
            urljoin(f"{root}/rest/info", service) if isinstance(service, str) else default,
        )

    # --- tokens -----------------------------------------------------------------------------------

    async def _granted(self, credential: ArcGISCredential, url: str, root: str) -> Grant:
        portal = await self._portal_of(credential, url, root)
        if not portal and isinstance(credential, FixedCredential):
            return _own(credential)
        if not portal and isinstance(credential, TokenCredential):
            service = (await self._info(root)).token_service
            return await self._log_in(credential, service)
        if not portal:
            raise CredentialsError(
                f"{host_name(url)} belongs to no portal, so it does not know an application",
                remedy="Give a user and a password for it",
            )
        own = await self._portal_grant(credential, portal)
        if is_portal_url(url) or is_arcgis_online(url):
            return own
        return await self._exchange(credential, portal, root, own)

    async def _portal_of(self, credential: ArcGISCredential, url: str, root: str) -> str:
        """The portal whose token is wanted first; empty if the server's own will do."""
        if is_arcgis_online(url):
            is_app = isinstance(credential, OAuthApplicationCredential)
            return credential.server_context if is_app else ARCGIS_ONLINE
        if is_portal_url(url):
            return root
        if isinstance(credential, OAuthApplicationCredential):
            return credential.portal_url
        if isinstance(credential, FixedCredential) and is_same_host(credential.url, url):
            # One given for /portal of the same host is not what its /server takes.
            own = context_path(credential.url)
            return credential.server_context if own not in ("", context_path(url)) else ""
        return (await self._info(root)).portal

    async def _portal_grant(self, credential: ArcGISCredential, portal: str) -> Grant:
        if isinstance(credential, FixedCredential):
            return _own(credential)
        grant = credential.grants.get(portal)
        if grant is None or not grant.is_fresh:
            is_app = isinstance(credential, OAuthApplicationCredential)
            operation = "oauth2/token" if is_app else "generateToken"
            grant = await self._log_in(credential, f"{portal}/sharing/rest/{operation}")
            credential.grants[portal] = grant
        return grant

    async def _log_in(self, credential: ArcGISCredential, token_service: str) -> Grant:
        assert isinstance(credential, SignInCredential)
        minutes = credential.token_expiration_interval
        if isinstance(credential, OAuthApplicationCredential):
            who = f"the application {credential.client_id}"
            form = {
                "grant_type": "client_credentials",
                "client_id": credential.client_id,
                "client_secret": credential.secret,
            }
        else:
            who = f"the user {credential.username}"
            form = {
                "username": credential.username,
                "password": credential.secret,
                "client": "referer",
                "referer": credential.referer,
            }
        credential.check_not_refused()
        try:
            grant = await self._ask(credential, token_service, {**form, "expiration": str(minutes)})
        except ServiceRefusedError as error:
            host = host_name(token_service)
            refused = SignInRefusedError(
                f"no sign-in at {host}: it refuses {who}: {self.without_secrets(error.message)}",
                service_code=error.service_code,
                remedy=f"Check the credentials for {host_name(credential.url)}",
            )
            credential.remember_refusal(refused, self._asker.clock)
            raise refused from None
        log.info("signed in at %s", host_name(token_service))
        return grant

    async def _exchange(
        self, credential: ArcGISCredential, portal: str, root: str, own: Grant
    ) -> Grant:
        """A token that only the server ``root`` takes, for one of its portal."""
        try:
            return await self._ask_exchange(credential, portal, root, own)
        except ServiceRefusedError as error:
            if not (own.is_renewable and isinstance(error, AuthenticationError)):
                raise self._not_exchanged(portal, root, error) from None
        credential.grants.pop(portal, None)  # it has expired earlier than was said
        own = await self._portal_grant(credential, portal)
        try:
            return await self._ask_exchange(credential, portal, root, own)
        except ServiceRefusedError as error:
            raise self._not_exchanged(portal, root, error) from None

    async def _ask_exchange(
        self, credential: ArcGISCredential, portal: str, root: str, own: Grant
    ) -> Grant:
        referer = credential.referer or root
        minutes = getattr(credential, "token_expiration_interval", 60)
        form = {
            "request": "getToken",
            "token": own.token,
            "serverUrl": root,
            "client": "referer",
            "referer": referer,
            "expiration": str(minutes),
        }
        return await self._ask(credential, f"{portal}/sharing/rest/generateToken", form, referer)

    def _not_exchanged(
        self, portal: str, root: str, error: ServiceRefusedError
    ) -> SignInRefusedError:
        return SignInRefusedError(
            f"no sign-in at {host_name(root)}: the portal {host_name(portal)} gives no token for "
            f"{root}: {self.without_secrets(error.message)}",
            service_code=error.service_code,
            remedy="Check that the credential has not expired, and that the server belongs to it",
        )

    async def _ask(
        self,
        credential: ArcGISCredential,
        token_service: str,
        form: Mapping[str, str],
        referer: str = "",
    ) -> Grant:
        credential.check_is_private(token_service)
        credential.check_not_busy(token_service)
        clock = self._asker.clock
        asked_at = clock.monotonic()
        try:
            answer, now = await self._asker.ask(token_service, form)
        except ServiceBusyError as error:
            credential.leave_alone(token_service, error, clock)
            raise
        token = answer.get("token") or answer.get("access_token")
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise ProtocolError(f"{host_name(token_service)} gave no token that can be used")
        is_bound = form.get("client") == "referer"
        return Grant(
            token=token,
            referer=form["referer"] if is_bound else referer,
            life_s=_life_s(answer, now, 60.0 * int(form["expiration"])),
            given_at=asked_at,
            clock=clock,
        )


def headers(grant: Grant | None) -> dict[str, str]:
    """The headers that show a token; none without one."""
    if grant is None:
        return {}
    shown = {HEADER: f"Bearer {grant.token}"}
    return shown | {"Referer": grant.referer} if grant.referer else shown


def check_not_refused(path: Path, where: str) -> None:
    """:exc:`AuthenticationError` if what came as a file is the refusal of a token.

    ArcGIS answers so with HTTP status 200, whatever was asked for.
    """
    if path.stat().st_size <= SMALL_ERROR_BYTES:
        check_no_refusal(path.read_bytes(), where)


def check_no_refusal(body: bytes, where: str) -> None:
    """The same of a small body."""
    try:
        raise_error_in(json_object(body, where), where)
    except AuthenticationError:
        raise
    except (ProtocolError, ServiceRefusedError, ServiceBusyError):
        return  # whoever asked for the file looks at it


def _own(credential: FixedCredential) -> Grant:
    return Grant(token=credential.token, referer=credential.referer, is_renewable=False)


def _life_s(answer: JsonObject, now: datetime | None, asked_s: float) -> float:
    """How long a token is good: never by the clock of this device, which may be wrong by years.

    ``expires_in`` is seconds, ``expires`` a moment in milliseconds that only makes sense beside the
    server's own time. Where that does not help it is what was asked for.
    """
    given = answer.get("expires_in")
    if isinstance(given, int | float) and not isinstance(given, bool) and given > 0:
        return float(given)
    try:
        expires_s = int(str(answer.get("expires"))) / 1000
    except ValueError:
        return asked_s
    left_s = expires_s - now.timestamp() if now is not None else 0.0
    return min(left_s, asked_s) if left_s > 0 else asked_s
