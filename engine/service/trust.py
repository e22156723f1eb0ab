"""Whom we trust over TLS: the authorities of the system, of which only those asked for are read."""

import ssl
from pathlib import Path

_MARK = b"-----BEGIN CERTIFICATE-----"


def tls_context() -> ssl.SSLContext:
    """As :func:`ssl.create_default_context`, with less of it in memory.

    Debian keeps the same certificates twice: in one file, and each in a file named by its hash
    (update-ca-certificates(8), openssl-rehash(1)). OpenSSL reads the one file whole, which keeps
    0.6 MB, and of the others those alone that a server's certificate leads to. The file is read
    where it holds more than the folder does, or lies elsewhere, or where there is no such folder.
    """
    context = ssl.create_default_context(capath=_hashed_folder())
    context.set_alpn_protocols(["http/1.1"])
    return context


def _hashed_folder() -> str | None:
    """The folder that has all that the system trusts; None if there is none."""
    paths = ssl.get_default_verify_paths()
    if not paths.cafile or not paths.capath:
        return None
    file, folder = Path(paths.cafile).resolve(), Path(paths.capath)
    try:
        if file.parent != folder.resolve():
            return None
        in_folder = sum(entry.suffix.removeprefix(".").isdecimal() for entry in folder.iterdir())
        in_file = file.read_bytes().count(_MARK)
    except OSError:
        return None
    return str(folder) if in_folder >= in_file > 0 else None
