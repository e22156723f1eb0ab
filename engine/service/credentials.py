"""Credentials: who we are to a service, and the tokens that were got with them.

The names are those of the ArcGIS Maps SDK ("ArcGISCredential" and its subclasses). A credential is
for the host of its URL, for the portal that this host belongs to, and for nobody else; its secrets
are sent over https or to this machine only. It keeps its tokens, so tasks that share one sign in
once; nothing of it is ever written to a file.

Sources: ArcGIS REST API, "Generate token", "Token" (OAuth 2.0), "HTTP authorization headers";
ArcGIS Server, "User account lockout policy".
"""

import asyncio
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import datetime

from engine.clock import Clock
from engine.errors import AuthenticationError, CredentialsError, ServiceBusyError
from engine.service.answer import place
from engine.service.hosts import host_name, is_private, origin, server_context

EXPIRATION_MINUTES = 60
"""Asked for unless told otherwise; servers give less if they want to."""
RENEW_BEFORE_S = 120.0  # or a tenth of its life, if that is less
REFUSED_PAUSE_S = 300.0
"""For so long a refused sign-in is not tried again: ArcGIS locks an account after five failures
within 15 minutes, and a device that goes on asking would keep its user locked out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenInfo:
    """A token that somebody else made. ``expiration_date`` is for people: the service decides."""

    access_token: str = field(repr=False)
    expiration_date: datetime | None = None
    is_ssl_required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A token that a service takes, and for how long. ``life_s`` None: until it is refused."""

    token: str = field(repr=False)
    referer: str = ""
    is_renewable: bool = True
    life_s: float | None = None
    given_at: float = 0.0
    clock: Clock | None = None

    @property
    def is_fresh(self) -> bool:
        """False shortly before it expires, by the clock that does not jump."""
        if self.life_s is None or self.clock is None:
            return True
        left = self.given_at + self.life_s - self.clock.monotonic()
        return left > min(RENEW_BEFORE_S, self.life_s / 10)


class ArcGISCredential(ABC):
    """Base of all credentials. ``url``: the service, server or portal that it is for.

    ``referer`` goes along with its tokens, which may be bound to it. ``allow_http`` lets secrets
    travel where everybody on the way can read them; for tests and closed networks.
    """

    def __init__(self, url: str, *, referer: str = "", allow_http: bool = False) -> None:
        self.url = _checked_url(url, allow_http=allow_http)
        self.referer = _header_value(referer, "the referer")
        self.allow_http = allow_http
        self.grants: dict[str, Grant] = {}
        self.lock = asyncio.Lock()
        self._refusal: tuple[AuthenticationError, Clock, float] | None = None
        self._busy: dict[str, tuple[ServiceBusyError, Clock, float]] = {}

    @property
    def server_context(self) -> str:
        """The root of the server or portal that it is for."""
        return server_context(self.url)

    @property
    def username(self) -> str:
        """The user it stands for; empty if nobody in particular."""
        return ""

    @property
    @abstractmethod
    def secrets(self) -> tuple[str, ...]:
        """What must never be seen; tokens that were got are part of it."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({place(self.url)!r}, username={self.username!r})"

    def __reduce__(self) -> str:
        raise TypeError(f"a {type(self).__name__} is not written to files")

    def check_is_private(self, url: str) -> None:
        """:exc:`CredentialsError` if a secret would travel to ``url`` for everybody to read."""
        if not (self.allow_http or is_private(url)):
            raise CredentialsError(
                f"the credential for {host_name(self.url)} is not sent to {place(url)}, because "
                "that is not https",
                remedy="Use the https URL of the service",
            )

    def remember_refusal(self, error: AuthenticationError, clock: Clock) -> None:
        """Do not ask again for a while with what was refused."""
        self._refusal = (error, clock, clock.monotonic() + REFUSED_PAUSE_S)

    def check_not_refused(self) -> None:
        """Raise what the last sign-in was refused with, if that is not long ago."""
        if self._refusal is not None:
            error, clock, until = self._refusal
            if clock.monotonic() < until:
                raise error
            self._refusal = None

    def leave_alone(self, token_service: str, error: ServiceBusyError, clock: Clock) -> None:
        """Ask there for no token before the time that it asked for is over."""
        if error.retry_after_s is not None:
            until = clock.monotonic() + error.retry_after_s
            self._busy[token_service] = (error, clock, until)

    def check_not_busy(self, token_service: str) -> None:
        """:exc:`ServiceBusyError`, with the time that is left, while it is to be left alone."""
        if token_service not in self._busy:
            return
        error, clock, until = self._busy[token_service]
        left_s = until - clock.monotonic()
        if left_s <= 0:
            del self._busy[token_service]
            return
        raise ServiceBusyError(
            error.message, remedy=error.remedy, retry_after_s=left_s, host=error.host
        )


class FixedCredential(ArcGISCredential):
    """Base of credentials that are a token themselves, and cannot get another one."""

    def __init__(
        self, url: str, token: str, *, what: str, referer: str = "", allow_http: bool = False
    ) -> None:
        super().__init__(url, referer=referer, allow_http=allow_http)
        self._token = _header_value(token, f"the {what} for {host_name(url)}")
        if not self._token:
            raise CredentialsError(f"the {what} for {host_name(url)} is empty")

    @property
    def token(self) -> str:
        return self._token

    @property
    def secrets(self) -> tuple[str, ...]:
        return (self._token, *(grant.token for grant in self.grants.values()))


class PregeneratedTokenCredential(FixedCredential):
    """A token that was made elsewhere. When it has expired a new one must be given."""

    def __init__(
        self, url: str, token_info: TokenInfo, referer: str = "", *, allow_http: bool = False
    ) -> None:
        super().__init__(
            url, token_info.access_token, what="token", referer=referer, allow_http=allow_http
        )
        self.token_info = token_info


class ApiKey(FixedCredential):
    """An API key. ``referer``, if the key is limited to one."""

    def __init__(
        self,
        key: str,
        url: str = "https://www.arcgis.com",
        *,
        referer: str = "",
        allow_http: bool = False,
    ) -> None:
        super().__init__(url, key, what="API key", referer=referer, allow_http=allow_http)


class SignInCredential(ArcGISCredential):
    """Base of credentials that get their tokens by a secret, and new ones when those expire."""

    def __init__(
        self, url: str, token_expiration_interval: int | None, *, allow_http: bool = False
    ) -> None:
        super().__init__(url, allow_http=allow_http)
        self.token_expiration_interval = token_expiration_interval or EXPIRATION_MINUTES
        if self.token_expiration_interval < 0:
            raise CredentialsError("token_expiration_interval is a number of minutes above 0")
        scheme, _, _ = origin(url)
        self.referer = f"{scheme}://{host_name(url)}"

    @property
    @abstractmethod
    def secret(self) -> str:
        """What it signs in with."""

    @property
    def secrets(self) -> tuple[str, ...]:
        return (self.secret, *(grant.token for grant in self.grants.values()))


class TokenCredential(SignInCredential):
    """A user and a password, for ``generateToken`` of the server or of its portal.

    ``token_expiration_interval`` in minutes; 60 if None.
    """

    def __init__(
        self,
        url: str,
        username: str,
        password: str,
        token_expiration_interval: int | None = None,
        *,
        allow_http: bool = False,
    ) -> None:
        super().__init__(url, token_expiration_interval, allow_http=allow_http)
        if not username or not password:
            raise CredentialsError(f"user or password for {host_name(url)} is empty")
        self._username = username
        self._password = password

    @property
    def username(self) -> str:
        return self._username

    @property
    def secret(self) -> str:
        return self._password


class OAuthApplicationCredential(SignInCredential):
    """An application registered with a portal: client id and client secret.

    ``token_expiration_interval`` in minutes; 60 if None.
    """

    def __init__(
        self,
        portal_url: str,
        client_id: str,
        client_secret: str,
        token_expiration_interval: int | None = None,
        *,
        allow_http: bool = False,
    ) -> None:
        super().__init__(portal_url, token_expiration_interval, allow_http=allow_http)
        if not client_id or not client_secret:
            raise CredentialsError(f"client id or secret for {host_name(portal_url)} is empty")
        self.portal_url = self.server_context
        self.client_id = client_id
        self._client_secret = client_secret

    @property
    def secret(self) -> str:
        return self._client_secret


def _checked_url(url: str, *, allow_http: bool) -> str:
    url = url.strip()
    scheme, host, port = origin(url)
    if "@" in url.partition("?")[0]:  # not repeated here: a password may stand in it
        raise CredentialsError(
            "a credential's URL has user or password in it",
            remedy="Leave both out of the URL; they have places of their own",
        )
    if scheme not in ("http", "https") or not host or not port:
        raise CredentialsError(
            f"a credential cannot be for {url.partition('?')[0]!r}: it is not an http or https URL",
            remedy="Say which service, server or portal the credential is for",
        )
    if not (allow_http or is_private(url)):
        raise CredentialsError(
            f"a credential cannot be for {place(url)}, because that is not https",
            remedy="Give the https URL, or say allow_http if everybody may read it",
        )
    return url


def _header_value(text: str, what: str) -> str:
    """``text`` if it can stand in a header and is nothing more than that."""
    text = text.strip()
    if not text.isascii() or not text.isprintable() or " " in text:
        raise CredentialsError(f"{what} has characters in it that do not belong there")
    return text
