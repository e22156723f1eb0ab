"""Everything one origin serves: services, tokens, and the way from a path to its answer."""

from collections.abc import Callable, Mapping
from typing import Any

from .access import Access
from .answer import Answer, document
from .call import Call
from .definition import VERSION
from .hosted import Hosted
from .operations import perform, replica_file
from .parameters import Parameters
from .portal import Portal
from .problem import ServiceError, invalid_url
from .tracking import clean_up

_NOT_FOUND = Answer(content=b"Not Found", content_type="text/plain", status=404)
_TOKEN_PATHS = (
    ("arcgis", "tokens"),
    ("arcgis", "tokens", "generatetoken"),
    ("arcgis", "sharing", "generatetoken"),
    ("arcgis", "sharing", "rest", "generatetoken"),
    ("portal", "sharing", "rest", "generatetoken"),
)
_CLEAN_UP = ("featureserver", "cleanupchangetracking")
_OAUTH_PATHS = (
    ("arcgis", "sharing", "rest", "oauth2", "token"),
    ("portal", "sharing", "rest", "oauth2", "token"),
)


def operation_of(segments: tuple[str, ...]) -> tuple[str, str]:
    """The name of what a path means, and of the service it belongs to ('' for none)."""
    lowered = tuple(part.lower() for part in segments)
    if lowered in _TOKEN_PATHS:
        return "generateToken", ""
    if lowered in _OAUTH_PATHS:
        return "oauth2", ""
    if lowered[:3] != ("arcgis", "rest", "services") or len(segments) < 5:
        return (segments[-1] if segments else ""), ""
    service, kind, rest = segments[3], lowered[4], segments[5:]
    if kind == "replicafiles":
        return "replicafiles", service
    if not rest:
        return "service", service
    if rest[0].isdigit():
        words = [part for part in rest if not part.isdigit()]
        if not words:
            return ("layer" if len(rest) == 1 else "feature"), service
        is_content = words == ["attachments"] and len(rest) == 4
        return ("attachment" if is_content else words[0]), service
    if rest[0].lower() == "uploads" and len(rest) > 1:
        return rest[-1], service
    return rest[0], service


class Site:
    """The services of one server and who may use them."""

    def __init__(
        self,
        hosted: Mapping[str, Hosted],
        access: Access,
        portal: Portal,
        *,
        tells_bare_errors: bool,
    ) -> None:
        self.hosted = hosted
        self._access = access
        self._portal = portal
        self._tells_bare_errors = tells_bare_errors

    def answer(self, call: Call) -> Answer:
        """The answer to a call; a refusal is an answer too."""
        try:
            return self._route(call)
        except ServiceError as error:
            return refusal(call, error, is_bare=self._tells_bare_errors)

    def _route(self, call: Call) -> Answer:
        path = tuple(part.lower() for part in call.segments)
        if path in _TOKEN_PATHS:
            return self._token(call, self._access.generate)
        if path in _OAUTH_PATHS:
            return self._token(call, self._access.oauth)
        if path == ("portal", "sharing", "rest", "info"):
            return document(self._server_info(call), call.format)
        if path[:3] == ("portal", "sharing", "rest") and self._portal.is_there:
            return self._portal.answer(call, self._access.actor(call), call.segments[3:])
        if path[:2] != ("arcgis", "rest"):
            return _NOT_FOUND
        if path[2:] == ("info",):
            return document(self._server_info(call), call.format)
        if path[2:4] == ("admin", "services") and path[5:] == _CLEAN_UP:
            return self._clean_up(call, call.segments[4])
        if path[2:] == ("services",):
            return document(self._directory(), call.format)
        if path[2:3] == ("services",) and len(path) > 4 and call.segments[3] in self.hosted:
            return self._service(call, self.hosted[call.segments[3]], path[4])
        raise invalid_url()

    def _service(self, call: Call, hosted: Hosted, kind: str) -> Answer:
        rest = call.segments[5:]
        if kind == "featureserver":
            return perform(hosted, self._access.actor(call), call, rest)
        if kind == "replicafiles" and len(rest) == 1:
            self._access.actor(call)
            return replica_file(hosted, rest[0]) or _NOT_FOUND
        raise invalid_url()

    def _clean_up(self, call: Call, name: str) -> Answer:
        actor = self._access.actor(call)
        if name not in self.hosted:
            raise invalid_url()
        return document(clean_up(self.hosted[name], actor, call.parameters), call.format)

    def _token(self, call: Call, give: Callable[[Parameters], dict[str, Any]]) -> Answer:
        if call.method != "POST":
            raise ServiceError(405, "Method Not Allowed", "tokens are given to POST only")
        form = call.format if call.parameters.has("f") else "json"
        return document(give(call.parameters), form)

    def _directory(self) -> dict[str, Any]:
        listed = [{"name": name, "type": "FeatureServer"} for name in sorted(self.hosted)]
        return {"currentVersion": VERSION, "folders": [], "services": listed}

    def _server_info(self, call: Call) -> dict[str, Any]:
        info: dict[str, Any] = {"isTokenBasedSecurity": not self._access.is_open}
        if not self._access.is_open:
            info["tokenServicesUrl"] = f"{call.origin}/arcgis/tokens/generateToken"
            info["shortLivedTokenValidity"] = 60
        shown = {"currentVersion": VERSION, "fullVersion": f"{VERSION}.0", "authInfo": info}
        if self._portal.is_there:
            shown["owningSystemUrl"] = f"{call.origin}/portal"
        return shown


def refusal(call: Call, error: ServiceError, *, is_bare: bool = False) -> Answer:
    """An error as the client asked answers to look; JSON where it named no known format."""
    form = call.format if call.format in ("json", "pjson", "html") else "json"
    if not call.parameters.has("f") and operation_of(call.segments)[0] in (
        "replicafiles",
        "attachment",
    ):
        form = "json"
    shown = error.bare_document() if is_bare else error.document()
    return document(shown, form, title="Error")
