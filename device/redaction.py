"""Taking secrets out of what is shown: the configuration on the socket, and files in a bundle."""

import re
from collections.abc import Mapping, Sequence

SECRET_NAMES = re.compile(
    r"passw|secret|token|api_?key|(?:^|_)(?:pin|puk|key|auth|psk|credential)$", re.IGNORECASE
)
"""Names whose texts are never shown, wherever they stand."""

SECRET_NUMBERS = re.compile(r"(?:^|_)(?:pin|puk|key|psk|password|secret|token)$", re.IGNORECASE)
"""Names whose numbers are not, either; ``token_expiration_interval`` is none of them."""

HIDDEN = "(hidden)"
_USER_INFO = re.compile(r"(?<=://)[^/@\s]*@")
_NAMED = re.compile(r"([\w-]+)(\"?\s*[=:]\s*)(\"[^\"]*\"|'[^']*'|[^\s&,;\"'}]+)")
_SCHEME = re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]{6,}", re.IGNORECASE)
_QUERY = re.compile(r"(?<=[?&])([^=&#\s]+)=([^&#\s\"']+)")


def redacted(value: object) -> object:
    """``value`` without secrets: members with a telling name, and what is secret in a URL.

    That something is not set is no secret: an empty text or None under such a name is shown. How
    long a secret is, is one.
    """
    if isinstance(value, Mapping):
        return {name: _member(str(name), member) for name, member in value.items()}
    if isinstance(value, str):
        return without_url_secrets(value)
    if isinstance(value, Sequence):
        return [redacted(member) for member in value]
    return value


def without_url_secrets(text: str) -> str:
    """``text`` in which URLs have lost their user and the secrets in their query."""
    text = _USER_INFO.sub(f"{HIDDEN}@", text)
    return _QUERY.sub(
        lambda found: f"{found[1]}={HIDDEN}" if SECRET_NAMES.search(found[1]) else found[0], text
    )


def redacted_text(text: str) -> str:
    """A line of a log without secrets: those of URLs, ``name=value``, ``name: value``, and what
    follows ``Bearer``."""
    text = _SCHEME.sub(lambda found: f"{found[1]} {HIDDEN}", without_url_secrets(text))
    return _NAMED.sub(
        lambda found: (
            f"{found[1]}{found[2]}{HIDDEN}" if SECRET_NAMES.search(found[1]) else found[0]
        ),
        text,
    )


def _member(name: str, value: object) -> object:
    if isinstance(value, str):
        is_secret = bool(value) and SECRET_NAMES.search(name) is not None
        return HIDDEN if is_secret else redacted(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return HIDDEN if SECRET_NUMBERS.search(name) else value
    if isinstance(value, Sequence):
        return [_member(name, one) for one in value]
    return redacted(value)
