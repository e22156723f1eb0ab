"""Who may come in: tokens, OAuth clients and API keys.

Source: ArcGIS REST API, "Generate Token", "Token" (OAuth 2.0) and "Working with tokens".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .call import Call
from .clock import Clock
from .guid import Mint, bare
from .hosted import Actor
from .parameters import Parameters
from .problem import ServiceError

_LONGEST_S = 15 * 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """Who is known. With nobody known everybody may come in."""

    users: Mapping[str, str] = field(default_factory=dict)
    """User name -> password."""

    clients: Mapping[str, str] = field(default_factory=dict)
    """OAuth client id -> secret."""

    api_keys: Mapping[str, str] = field(default_factory=dict)
    """API key -> the name of the user it stands for."""

    owners: frozenset[str] = frozenset()
    """The users who own the services or administer the server."""

    anonymous_is_owner: bool = False
    """Whether a server that knows nobody takes everybody for the owner."""

    token_life_s: int = 3600

    @property
    def is_open(self) -> bool:
        return not (self.users or self.clients or self.api_keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    user: str
    expires_ms: int
    referer: str


class Access:
    """Gives out tokens and knows their bearers. Tokens do not outlive the process."""

    def __init__(self, security: Security, clock: Clock, mint: Mint) -> None:
        self._security = security
        self._clock = clock
        self._mint = mint
        self._tokens: dict[str, _Token] = {}

    @property
    def is_open(self) -> bool:
        return self._security.is_open

    def expire_all(self) -> None:
        """Make every token given out so far an expired one."""
        self._tokens.clear()

    def actor(self, call: Call) -> Actor:
        """Who makes a call; ServiceError 499 without a token, 498 with a bad one."""
        if self._security.is_open:
            return Actor(is_owner=self._security.anonymous_is_owner)
        text = presented(call)
        if not text:
            raise ServiceError(499, "Token Required")
        user = self._security.api_keys.get(text)
        if user is None:
            user = self._bearer(text, call.headers.get("referer", ""))
        return Actor(name=user, is_owner=user in self._security.owners)

    def _bearer(self, text: str, referer: str) -> str:
        token = self._tokens.get(text)
        if token is None or token.expires_ms <= self._clock.now_ms():
            raise ServiceError(498, "Invalid token.")
        if not referer.lower().startswith(token.referer.lower()):
            raise ServiceError(498, "Invalid token.", "the Referer is not the token's")
        return token.user

    def generate(self, parameters: Parameters) -> dict[str, Any]:
        """Answer generateToken: by name and password, or for a server by a portal token."""
        known = parameters.text("token")
        if known:
            token = self._tokens.get(known)
            if token is None or token.expires_ms <= self._clock.now_ms():
                raise ServiceError(498, "Invalid token.")
            user = token.user
        else:
            user = parameters.any_text("username", "user")
            if not user or self._security.users.get(user) != parameters.text("password"):
                raise ServiceError(
                    400, "Unable to generate token.", "Invalid username or password."
                )
        minutes = parameters.integer("expiration")
        life_s = self._security.token_life_s
        if minutes is not None and minutes > 0:
            life_s = min(life_s, minutes * 60)
        client = parameters.word("client", ("referer", "ip", "requestip"), "referer")
        referer = parameters.text("referer") if client == "referer" else ""
        text, expires_ms = self._give(user, life_s, referer)
        return {"token": text, "expires": expires_ms, "ssl": False}

    def oauth(self, parameters: Parameters) -> dict[str, Any]:
        """Answer the OAuth 2.0 token request of a client with a secret."""
        if parameters.text("grant_type").lower() != "client_credentials":
            raise ServiceError(400, "unsupported_grant_type", "only client_credentials is served")
        client = parameters.text("client_id")
        if not client or self._security.clients.get(client) != parameters.text("client_secret"):
            raise ServiceError(400, "invalid_client", "Invalid client_id or client_secret")
        minutes = parameters.integer("expiration")
        life_s = min(self._security.token_life_s, (minutes or 120) * 60, _LONGEST_S)
        text, _ = self._give(client, life_s, "")
        return {"access_token": text, "expires_in": life_s}

    def _give(self, user: str, life_s: int, referer: str) -> tuple[str, int]:
        text = bare(self._mint()).replace("-", "")
        expires_ms = self._clock.now_ms() + life_s * 1000
        self._tokens[text] = _Token(user=user, expires_ms=expires_ms, referer=referer)
        return text, expires_ms


def presented(call: Call) -> str:
    """The token of a call: in the form or the query, or in one of two headers."""
    token = call.parameters.text("token")
    if token:
        return token
    for name in ("x-esri-authorization", "authorization"):
        scheme, _, text = call.headers.get(name, "").partition(" ")
        if scheme.lower() == "bearer" and text.strip():
            return text.strip()
    return ""
