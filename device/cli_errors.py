"""What can go wrong with a command beside what the engine tells."""

from engine import EngineError, ExitCode


class UsageError(EngineError):
    """The command was not understood, or an option does not fit the map or the service."""

    code = "usage"
    exit_code = ExitCode.USAGE


class StoppedError(EngineError):
    """The person or the system asked the command to stop before its work was done."""

    code = "cancelled"
    exit_code = ExitCode.INTERRUPTED


class SystemRefusedError(EngineError):
    """The operating system refused something for which the engine has no better words."""

    code = "system"


class NoPermissionError(SystemRefusedError):
    """The operating system does not let this user do that."""

    code = "no-permission"
    exit_code = ExitCode.NO_PERMISSION


class UnexpectedError(EngineError):
    """A fault of fieldsync itself."""

    code = "unexpected"
    default_remedy = (
        "This is a fault in fieldsync; please report it with what the same command prints "
        "with --debug"
    )
