"""Files for whoever looks for a fault, packed into one: nothing of what people have entered, no
secrets."""

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import IO

from device.cli_errors import StoppedError
from device.redaction import redacted, redacted_text

LONGEST_TEXT = 4 * 1024 * 1024


def pack(path: Path, members: Iterator[tuple[str, object]], at: datetime) -> list[str]:
    """Write the members, texts or values fit for JSON, to a tar.gz at ``path``; gives their names.

    :exc:`FileExistsError` if there is something already. Secrets are taken out on the way. A file
    that cannot be finished is removed.
    """
    with open(path, "xb") as stream:
        try:
            return _packed(stream, members, at)
        except BaseException as error:
            path.unlink(missing_ok=True)
            if isinstance(error, OSError) and error.filename is None:  # of writing: it names none
                raise OSError(error.errno, error.strerror, str(path)) from error
            raise


def _packed(stream: IO[bytes], members: Iterator[tuple[str, object]], at: datetime) -> list[str]:
    names: list[str] = []
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, value in members:
            data = _text(value).encode(errors="backslashreplace")[-LONGEST_TEXT:]
            entry = tarfile.TarInfo(f"fieldsync-bundle/{name}")
            entry.size, entry.mode, entry.mtime = len(data), 0o600, int(at.timestamp())
            archive.addfile(entry, io.BytesIO(data))
            names.append(name)
    stream.flush()  # a disk that is full tells it now
    return names


def attempt(make: Callable[[], object]) -> object:
    """What ``make`` gives, or else why it cannot: bundles are made when something is broken."""
    try:
        return make()
    except StoppedError:
        raise
    except Exception as error:
        return f"not there: {type(error).__name__}: {error}"


def _text(value: object) -> str:
    if isinstance(value, str):
        return "\n".join(map(redacted_text, value.splitlines())) + "\n"
    return json.dumps(redacted(value), indent=1, ensure_ascii=False) + "\n"
