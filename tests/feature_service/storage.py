"""Result files behind a redirect to another origin, which wants no tokens.

Hosted services hand result files out from signed storage on another host; a client that
passes its token on there is refused.
"""

from collections.abc import Mapping

from aiohttp import web

from .access import presented
from .answer import Answer
from .call import Call
from .guid import Mint, bare
from .hosted import Hosted
from .operations import replica_file

_FORBIDDEN = Answer(content=b"Signature mismatch", content_type="text/plain", status=403)
_GONE = Answer(content=b"Not Found", content_type="text/plain", status=404)


class StorageOrigin:
    """The other origin; `origin` is empty where result files are served directly."""

    def __init__(self, hosted: Mapping[str, Hosted], mint: Mint) -> None:
        self.origin = ""
        self._hosted = hosted
        self._mint = mint
        self._signed: dict[str, tuple[str, str]] = {}

    def is_for(self, request: web.Request) -> bool:
        """Whether a request has come to this origin."""
        if not self.origin or request.transport is None:
            return False
        port = request.transport.get_extra_info("sockname")[1]
        return self.origin.endswith(f":{port}")

    def redirected(self, call: Call, answer: Answer) -> Answer:
        """A redirect here instead of a result file; any other answer as it is."""
        is_file = len(call.segments) == 6 and call.segments[4].lower() == "replicafiles"
        if not self.origin or not is_file or answer.status != 200:
            return answer
        signature = bare(self._mint()).replace("-", "")
        self._signed[signature] = (call.segments[3], call.segments[5])
        url = f"{self.origin}/storage/{call.segments[5]}?signature={signature}"
        return Answer(content=b"", content_type="text/plain", status=302, headers={"Location": url})

    def answer(self, call: Call) -> Answer:
        """A signed file; 403 for a wrong signature and for anybody who shows a token."""
        signed = self._signed.get(call.parameters.text("signature"))
        if signed is None or presented(call) or call.segments[-1:] != (signed[1],):
            return _FORBIDDEN
        service, name = signed
        return replica_file(self._hosted[service], name) or _GONE
