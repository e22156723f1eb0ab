"""Keeps out of the daemon what aiohttp would load for nothing. Import it before all others.

It loads aiohttp itself, with a stand-in for each module below. What is called in a stand-in is the
real one's, which is loaded then: only what nobody ever calls here is saved. Afterwards all of them
can be imported as ever. What it brings: docs/DESIGN.md, "Memory is imports".
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from importlib import import_module
from types import ModuleType
from typing import Any

STAND_INS = (
    "aiohttp.client_ws",  # WebSockets
    "aiohttp.tracing",  # hooks for those who watch requests
    "aiohttp.web_fileresponse",  # files that are served, with their types
    "aiohttp.web_ws",
    "argparse",  # aiohttp.web is a program, too
    "ast",  # inspect, for the source of classes
    "attr.converters",
    "attr.filters",
    "attr.validators",
    "email.message",  # for the parameters of a content type, with the next two
    "email.parser",
    "email.policy",
    "html",  # its names of characters
    "http.server",  # for the texts of status codes
    "idna",  # names of hosts that are not ASCII
    "locale",  # subprocess, where it warns
    "urllib.request",  # for proxies that the environment names
)
ABSENT = ("bz2", "lzma")
"""What shutil can do without: kinds of archives. A zip file that needs one finds it later."""


class _StandIn(ModuleType):
    """A module that is loaded when something in it is called."""

    def __getattr__(self, name: str) -> object:
        if sys.modules.get(self.__name__) is not self:
            return getattr(import_module(self.__name__), name)
        if name.startswith("__"):
            raise AttributeError(name)
        return deferred(self.__name__, name)


class _Later(type):
    """The type of what is not loaded yet, and of what derives from it."""

    def __call__(cls, *arguments: object, **named: object) -> Any:
        found = _real(cls)
        given = [_real(one) for one in arguments]
        more = {key: _real(one) for key, one in named.items()}
        return super().__call__(*given, **more) if found is cls else found(*given, **more)

    def __getitem__(cls, _: object) -> type:
        return cls


def deferred(module: str, name: str) -> type:
    """What makes, or does, what ``name`` of ``module`` does. A class, so that types may name it and
    classes derive from it: these get their real base as soon as one of them is wanted."""
    return _Later(name, (_Nothing,), {"load": lambda: getattr(import_module(module), name)})


class _Nothing:
    """The base until then: that of a class without one could not be changed."""


def _real(thing: Any) -> Any:
    """The thing itself, unless it is not loaded yet, or derived from what is not."""
    if not isinstance(thing, _Later):
        return thing
    if "load" in vars(thing):
        return thing.load()  # type: ignore[attr-defined]
    thing.__bases__ = tuple(_real(base) for base in thing.__bases__)
    return thing


@contextmanager
def _light() -> Iterator[None]:
    """While modules are loaded: the stand-ins are there, and no certificates.

    aiohttp of today reads all certificates of the system as it is loaded; the engine brings its own
    (``engine/service/trust.py``).
    """
    stand_ins = {name: _StandIn(name) for name in STAND_INS if name not in sys.modules}
    if handlers := stand_ins.get("http.server"):
        told = {status: (status.phrase, status.description) for status in HTTPStatus}
        handler = type("BaseHTTPRequestHandler", (), {"responses": told})
        handlers.BaseHTTPRequestHandler = handler  # type: ignore[attr-defined]
        import http

        http.server = handlers  # type: ignore[attr-defined]
    absent = [name for name in ABSENT if name not in sys.modules]
    sys.modules.update(stand_ins)
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]  # None: there is none
    kept = {name: os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR")}
    os.environ.update(dict.fromkeys(kept, os.devnull))
    try:
        yield
    finally:
        for name, value in kept.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        for name in (*stand_ins, *absent):
            if sys.modules[name] in (stand_ins.get(name), None):
                del sys.modules[name]
        if handlers:
            del http.server  # type: ignore[attr-defined]


def _detect(data: bytes) -> dict[str, object]:
    """As ``cchardet.detect``, for what is always UTF-8."""
    return {"encoding": "utf-8", "confidence": 1.0}


# The short lists that aiohttp keeps in it need no compiled code. That of today is written in C++,
# whose library is 1 MB.
os.environ.setdefault("FROZENLIST_NO_EXTENSIONS", "1")
if "aiohttp" not in sys.modules:
    # aiohttp before 3.9, as Debian 12 has it, loads a library to guess the encoding of a text that
    # does not say it, which has tables of 2.5 MB; it takes cchardet where that is there. Everything
    # we read is UTF-8 by its specification, and is decoded as such by the engine.
    _module = ModuleType("cchardet", __doc__)
    _module.detect = _detect  # type: ignore[attr-defined]
    sys.modules.setdefault("cchardet", _module)
    with _light():
        import aiohttp.web  # noqa: F401

        from device.memory import forget_annotations
    forget_annotations()  # here as well as at the end: what is loaded next takes the room
