"""The words of the ``fieldsync`` command that are about the device itself: lamps and modem."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter, _SubParsersAction
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from device.cli_parser_daemon import add_socket
from device.lamps.led import LEDS

LEDS_TEXT = "The lamps of the device: says what they show now, or draws their language."
LEDS_EXAMPLE = """\
examples:
  fieldsync leds explain
  fieldsync leds sticker lamps.svg"""
EXPLAIN = """\
Says in words what each lamp of this device shows now: as the daemon tells it, or, if none runs, as
the kernel plays it. A lamp that another program plays with is no sign of fieldsync's."""
STICKER = "Draws what the lamps and the button mean, to be printed and put beside them."

MODEM_TEXT = "The serial modem of the device."
MODEM_EXAMPLE = """\
examples:
  fieldsync modem probe
  fieldsync modem probe --port /dev/ttyUSB2
  fieldsync modem probe --managed"""
PROBE = """\
Asks the modem for its SIM, its network, how well it hears that, and the time. It dials nothing,
changes nothing and tries no PIN. The port must be free: not while the daemon is connected through
it, nor while ModemManager has it."""

ParserT = TypeVar("ParserT", bound=ArgumentParser)
AddVerb = Callable[["_SubParsersAction[ParserT]", str, str, str, str], ParserT]


def add_leds(verbs: "_SubParsersAction[ParserT]", add_verb: "AddVerb[ParserT]") -> None:
    """``fieldsync leds`` and what follows it."""
    leds = verbs.add_parser(
        "leds",
        help="say what the lamps mean, or draw it",
        description=LEDS_TEXT,
        epilog=LEDS_EXAMPLE,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    actions: _SubParsersAction[ParserT] = leds.add_subparsers(
        dest="action", metavar="ACTION", required=True, title="actions", parser_class=type(leds)
    )
    example = "example:\n  fieldsync leds explain"
    explain = add_verb(actions, "explain", EXPLAIN, example, "say what the lamps show now")
    explain.add_argument(
        "--leds",
        metavar="LINK,SYNC,ATTN",
        type=lambda text: tuple(text.split(",")),
        default=(),
        help="look at these LEDs in the kernel, three or one (default: ask the daemon; else those "
        "named fieldsync:…)",
    )
    explain.add_argument(
        "--folder",
        metavar="FOLDER",
        type=Path,
        default=LEDS,
        help=f"where the kernel shows its LEDs (default: {LEDS})",
    )
    add_socket(explain)
    example = "example:\n  fieldsync leds sticker lamps.svg"
    sticker = add_verb(actions, "sticker", STICKER, example, "draw the sticker")
    sticker.add_argument("file", metavar="FILE", type=Path, help="the SVG file to write")
    sticker.add_argument(
        "--board", choices=("three", "one"), default="three", help="how many lamps (default: three)"
    )


def add_modem(verbs: "_SubParsersAction[ParserT]", add_verb: "AddVerb[ParserT]") -> None:
    """``fieldsync modem`` and what follows it."""
    modem = verbs.add_parser(
        "modem",
        help="ask the modem how it is",
        description=MODEM_TEXT,
        epilog=MODEM_EXAMPLE,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    actions: _SubParsersAction[ParserT] = modem.add_subparsers(
        dest="action", metavar="ACTION", required=True, title="actions", parser_class=type(modem)
    )
    probe = add_verb(actions, "probe", PROBE, MODEM_EXAMPLE, "ask the modem how it is")
    probe.add_argument(
        "--port",
        metavar="FILE",
        type=Path,
        default=Path("/dev/fieldsync-modem"),
        help="its serial port (default: /dev/fieldsync-modem)",
    )
    probe.add_argument(
        "--baud", metavar="N", type=int, default=115_200, help="its speed (default: 115200)"
    )
    probe.add_argument(
        "--managed", action="store_true", help="ask ModemManager, which has the modem (mmcli)"
    )
