"""The words of ``fieldsync draw``."""

from argparse import ArgumentParser, ArgumentTypeError, _SubParsersAction
from pathlib import Path
from typing import TypeVar

from device.cli_parser_device import AddVerb
from device.cli_parser_take import envelope

LEAST_WIDTH, MOST_WIDTH = 480, 6000

DRAW = """\
Draws a map as a picture: its layers in the web map's order and symbols, the area that was taken,
and, each with a mark of its own, what was added, changed and deleted here and not sent, what is in
conflict and what the service refused. Needs no network. An older drawing of that name is
replaced."""

DRAW_EXAMPLE = """\
examples:
  fieldsync draw trees trees.svg
  fieldsync draw trees part.svg --extent -112.1,40.6,-111.8,40.9 --layer "Street trees\""""

ParserT = TypeVar("ParserT", bound=ArgumentParser)


def add_draw(verbs: "_SubParsersAction[ParserT]", add_verb: "AddVerb[ParserT]") -> None:
    """``fieldsync draw``."""
    draw = add_verb(verbs, "draw", DRAW, DRAW_EXAMPLE, "draw a map as a picture (SVG)")
    draw.add_argument("map", metavar="MAP", type=Path, help="the folder of the map")
    draw.add_argument("file", metavar="FILE", type=Path, help="the picture to make, an SVG file")
    draw.add_argument(
        "--extent",
        metavar="XMIN,YMIN,XMAX,YMAX[,WKID]",
        type=envelope,
        help="the part of the map to show, in longitude and latitude unless a wkid is given "
        "(default: the area that was taken)",
    )
    draw.add_argument(
        "--layer",
        metavar="NAME",
        action="append",
        default=[],
        help="only the layer of that title or id, also one that the map hides; may be repeated",
    )
    draw.add_argument(
        "--width", metavar="PIXELS", type=_width, help="how wide the picture is (default: 1200)"
    )
    draw.add_argument(
        "--overwrite", action="store_true", help="replace FILE even if it is no drawing"
    )


def _width(text: str) -> int:
    if not text.isdecimal() or not LEAST_WIDTH <= int(text) <= MOST_WIDTH:
        raise ArgumentTypeError(f"{text!r} is no width from {LEAST_WIDTH} to {MOST_WIDTH} pixels")
    return int(text)
