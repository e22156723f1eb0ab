"""What a driver has found, as lines the script that runs it can count. Standard library only."""

import sys
from collections.abc import Callable


class Report:
    """Runs checks one by one; a failing one does not stop the next."""

    def __init__(self) -> None:
        self._failed = 0
        self._operation = "query"

    def begin(self, operation: str) -> None:
        """Say which operation the checks to come are about."""
        self._operation = operation

    def check(self, what: str, check: Callable[[], object]) -> None:
        """Run one check: it fails when it raises or returns False."""
        try:
            found = check()
        except Exception as error:
            self._tell(what, f"{type(error).__name__}: {error}")
            return
        self._tell(what, "" if found is not False else "not as expected")

    def part(self, part: Callable[[], object]) -> None:
        """Run a function full of checks; it is a failed check itself when it raises."""
        try:
            part()
        except Exception as error:
            self._tell(part.__name__, f"{type(error).__name__}: {error}")

    def equal(self, what: str, found: object, expected: object) -> None:
        """Compare two values."""
        self._tell(what, "" if found == expected else f"{found!r} is not {expected!r}")

    def _tell(self, what: str, wrong: str) -> None:
        self._failed += bool(wrong)
        word = "FAIL" if wrong else "ok"
        print(f"{word} {self._operation}: {what}{': ' + wrong if wrong else ''}", flush=True)

    def finish(self) -> None:
        """End the driver: 0 when every check passed."""
        sys.exit(1 if self._failed else 0)
