"""What a driver has found, as lines the script that runs it can count. Standard library only."""

import sys
from collections.abc import Callable


class Report:
    """Runs checks one by one; a failing one does not stop the next."""

    def __init__(self) -> None:
        self._failed = 0

    def check(self, what: str, check: Callable[[], object]) -> None:
        """Run one check: it fails when it raises or returns False."""
        try:
            found = check()
        except Exception as error:
            self._tell(what, f"{type(error).__name__}: {error}")
            return
        self._tell(what, "" if found is not False else "not as expected")

    def equal(self, what: str, found: object, expected: object) -> None:
        """Compare two values."""
        self._tell(what, "" if found == expected else f"{found!r} is not {expected!r}")

    def _tell(self, what: str, wrong: str) -> None:
        self._failed += bool(wrong)
        print(f"{'FAIL' if wrong else 'ok'} {what}{': ' + wrong if wrong else ''}", flush=True)

    def finish(self) -> None:
        """End the driver: 0 when every check passed."""
        sys.exit(1 if self._failed else 0)
