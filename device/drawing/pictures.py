"""Pictures in symbols: the data of a small image, proven to be one, as a URL that needs no network.

Only bytes that stand in the symbol itself are used, never its URL: a drawing makes no request.
"""

import base64
import binascii
from collections.abc import Mapping

MOST_BYTES = 128 * 1024

_KINDS = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}
"""How files of a kind begin. SVG is not among them: it could bring scripts and links along."""


def picture_url(symbol: Mapping[str, object]) -> tuple[str, str]:
    """The ``data:`` URL of a picture symbol; or nothing, and what is wrong with it."""
    text = symbol.get("imageData")
    if not isinstance(text, str) or not text:
        return "", "a picture that is not in the map itself"
    if len(text) > MOST_BYTES * 4 // 3 + 4:
        return "", f"a picture of more than {MOST_BYTES // 1024} kB"
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return "", "a picture that cannot be read"
    for start, kind in _KINDS.items():
        if data.startswith(start):
            return f"data:{kind};base64,{base64.b64encode(data).decode()}", ""
    return "", "a picture that is neither PNG, JPEG nor GIF"
