"""What the commands ``fieldsync`` and ``fieldsyncd`` begin with. Imports next to nothing.

Loading the rest may take seconds on a small board. Until it is there, Ctrl-C ends the command as it
ends any program: by the signal, and without a word.
"""

import signal


def fieldsync() -> int:
    """The command of a person; its exit code."""
    _end_by_interrupt()
    from device.cli import main

    return main()


def fieldsyncd() -> int:
    """The daemon; its exit code."""
    _end_by_interrupt()
    from device.daemon import main

    return main()


def _end_by_interrupt() -> None:
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # a shell's background job
        signal.signal(signal.SIGINT, signal.SIG_DFL)
