"""Parts of files: from some byte to another or the end, if the client means the same file.

Source: RFC 9110, 13.1.5 (If-Range) and 14 (Range requests); a server may answer any other range
with the whole.
"""

import re
from collections.abc import Mapping
from dataclasses import replace

from .answer import Answer

_FROM = re.compile(r"bytes=(\d+)-(\d*)")


def in_part(answer: Answer, asked: Mapping[str, str]) -> Answer:
    """The part of an answer that the headers ``asked`` ask for, or all of it with its tag."""
    if not answer.etag or answer.status != 200:
        return answer
    tag = f'"{answer.etag}"'
    if answer.is_packed_for(asked.get("Accept-Encoding", "")):
        return _with(answer, {"ETag": f'"{answer.etag}-gzip"', "Accept-Ranges": "bytes"})
    whole = _with(answer, {"ETag": tag, "Accept-Ranges": "bytes"})
    match = _FROM.fullmatch(asked.get("Range", ""))
    if match is None or asked.get("If-Range", tag) != tag:
        return whole
    size, first = answer.size_bytes, int(match[1])
    if first >= size:
        refused = Answer(content=b"", content_type=answer.content_type, status=416)
        return _with(refused, {"Content-Range": f"bytes */{size}"})
    last = min(int(match[2] or size - 1), size - 1)
    if last < first:
        return whole
    part = replace(whole, status=206, first_byte=first, part_bytes=last - first + 1)
    return _with(part, {"Content-Range": f"bytes {first}-{last}/{size}"})


def _with(answer: Answer, headers: dict[str, str]) -> Answer:
    return replace(answer, headers=answer.headers | headers)
