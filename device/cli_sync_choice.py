"""``fieldsync sync``: by the daemon if a map of its is named, or none; here if it is a folder."""

from argparse import Namespace

from device.cli_errors import UsageError
from device.cli_socket import daemon, daemon_with
from device.console import Console, Report


def run(options: Namespace, console: Console) -> Report:
    """Choose. What is needed is loaded then: only a sync here needs the HTTP client."""
    client = daemon(options) if options.map is None else daemon_with(options)
    if client is not None:
        from device import cli_sync_daemon

        return cli_sync_daemon.run(client, options, console)
    if options.expensive:
        raise UsageError(
            "--expensive is for the maps of the daemon",
            remedy="Leave it out, or name a map of the daemon; fieldsync status lists them",
        )
    from device import cli_sync

    return cli_sync.run(options, console)
