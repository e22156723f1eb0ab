"""What the daemon does not load, and that all of it is there when it is wanted."""

import json
import os
import subprocess
import sys
from textwrap import TextWrapper

from device.light_imports import STAND_INS, deferred

HOST = "b\u00fccher.example"


def told_by(*statements: str) -> list[object]:
    """The list ``told`` after the daemon was loaded and those statements ran."""
    code = ["import json, sys, device.daemon", *statements, "print(json.dumps(told))"]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(code)],
        env=os.environ | {"SSL_CERT_FILE": "/nowhere.pem"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    told: list[object] = json.loads(done.stdout)
    return told


def test_the_daemon_loads_nothing_that_it_has_stand_ins_for() -> None:
    loaded = told_by("told = [*sys.modules]")

    assert "aiohttp.web" in loaded
    assert not set(loaded) & {*STAND_INS, "lzma"}


def test_a_name_that_is_not_ascii_is_understood() -> None:
    told = told_by(
        "from yarl import URL",
        f"url = URL('https://{HOST}/')",
        "told = [url.raw_host, url.host, 'idna.core' in sys.modules]",
    )
    assert told == ["xn--bcher-kva.example", HOST, True]


def test_what_is_called_in_a_stand_in_is_the_real_thing() -> None:
    told = told_by(
        "import attr, inspect",
        "from aiohttp import helpers, web_protocol",
        "text = web_protocol.html_escape('<&')",
        "parsed = helpers.HeaderParser().parsestr('A: b')['a']",
        "valid = repr(attr.validators.instance_of(int))",
        "signature, proxies = inspect.signature(divmod), helpers.getproxies()",
        "told = [text, parsed, valid, str(signature), type(proxies).__name__]",
    )
    assert told == [
        "&lt;&amp;",
        "b",
        "<instance_of validator for type <class 'int'>>",
        "(x, y, /)",
        "dict",
    ]


def test_what_functions_say_of_their_types_is_forgotten() -> None:
    told = told_by(
        "import aiohttp",
        "from device.memory import forget_annotations",
        "made, own = aiohttp.web.json_response, device.daemon.run",
        "told = [len(made.__annotations__), len(own.__annotations__) > 0]",
        "forget_annotations()",
        "told += [len(own.__annotations__), len(device.config.Config.__annotations__) > 0]",
    )
    assert told == [0, True, 0, True]


def test_modules_can_be_imported_as_ever_afterwards() -> None:
    told = told_by(
        "import ast, html.parser, http.server, lzma, os, urllib.request, zipfile",
        "told = [ast.literal_eval('[1]'), html.unescape('&lt;'), os.environ['SSL_CERT_FILE'],",
        "        zipfile.lzma is lzma, hasattr(http.server, 'HTTPServer')]",
    )
    assert told == [[1], "<", "/nowhere.pem", True, True]


def test_what_is_derived_from_a_stand_in_gets_its_real_base() -> None:
    told = told_by(
        "import inspect, device.model",
        "from aiohttp import helpers",
        "told = [inspect.getsource(device.model.Link).splitlines()[1]]",
        "parse = getattr(helpers, 'parse_content_type', None)",  # where there is such a class
        "told += [list(parse(text))[0] for text in ('text/html; a=b', 'x')] if parse else []",
    )
    assert told in (["class Link:"], ["class Link:", "text/html", "application/octet-stream"])


def test_a_derived_class_is_begun_once() -> None:
    later = deferred("textwrap", "TextWrapper")

    class Narrow(later):  # type: ignore[misc, valid-type]
        begun = 0

        def __init__(self, width: int) -> None:
            super().__init__(width=width)
            self.begun += 1

    assert later(width=7).wrap("one two three") == ["one two", "three"]
    assert Narrow(3).wrap("one two") == ["one", "two"]
    assert Narrow(3).begun == 1
    assert Narrow.__bases__ == (TextWrapper,)


def test_what_functions_remember_is_forgotten_with_a_trim() -> None:
    told = told_by(
        "from urllib.parse import urlsplit",
        "from device.memory import trim",
        "before = [urlsplit('http://a/b') and urlsplit.cache_info().currsize > 0]",
        "trim()",
        "told = [*before, urlsplit.cache_info().currsize]",
    )
    assert told == [True, 0]
