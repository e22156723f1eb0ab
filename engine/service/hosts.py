"""Which host a URL belongs to, and so who may see a token."""

from collections.abc import Collection
from ipaddress import ip_address
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}
_BELOW_A_CONTEXT = frozenset({"rest", "sharing", "home", "tokens", "admin", "manager"})


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port; empty words and 0 if ``url`` has none."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return "", "", 0
    scheme = parts.scheme.casefold()
    return scheme, host.casefold(), port or _DEFAULT_PORTS.get(scheme, 0)


def host_name(url: str) -> str:
    """The host for a message, with its port if that is not the usual one."""
    scheme, host, port = origin(url)
    shown = f"[{host}]" if ":" in host else host
    return shown if port == _DEFAULT_PORTS.get(scheme) else f"{shown}:{port}"


def is_same_host(one: str, other: str) -> bool:
    """The same host and port; the usual ports of http and https count as one."""
    (scheme, host, port), (other_scheme, other_host, other_port) = origin(one), origin(other)
    is_usual = port == _DEFAULT_PORTS.get(scheme)
    if is_usual and other_port == _DEFAULT_PORTS.get(other_scheme):
        return bool(host) and host == other_host
    return bool(host) and (host, port) == (other_host, other_port)


def is_private(url: str) -> bool:
    """True if nobody on the way can read what is sent: https, or this machine itself."""
    scheme, host, _ = origin(url)
    return scheme == "https" or is_loopback(host)


def is_loopback(host: str) -> bool:
    """True for names and addresses of this machine itself."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def is_arcgis_online(url: str) -> bool:
    """True for hosts of ArcGIS Online, all of which take the same tokens."""
    scheme, host, port = origin(url)
    return (scheme, port) == ("https", 443) and f".{host}".endswith(".arcgis.com")


def is_portal_url(url: str) -> bool:
    """True for a resource of a portal's Sharing REST API."""
    return "sharing" in _segments(url)


def server_context(url: str) -> str:
    """The URL below which a server or portal has its REST resources, as in the ArcGIS Maps SDK.

    ``https://host/arcgis/rest/services/Trees/FeatureServer`` → ``https://host/arcgis``
    """
    return url_above(url, _BELOW_A_CONTEXT)


def url_above(url: str, names: Collection[str]) -> str:
    """``url`` up to the first segment of its path that is one of ``names``, or empty."""
    parts = urlsplit(url)
    kept: list[str] = []
    for segment in parts.path.split("/")[1:]:
        if not segment or segment.casefold() in names:
            break
        kept.append(segment)
    return "/".join([f"{parts.scheme}://{parts.netloc}", *kept])


def context_path(url: str) -> str:
    """The path of a server context, in lower case; empty for a host as a whole."""
    return urlsplit(server_context(url)).path.casefold()


def _segments(url: str) -> list[str]:
    try:
        return urlsplit(url).path.casefold().split("/")
    except ValueError:
        return []
