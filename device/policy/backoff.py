"""How long links, or single services, are left alone after a failure: full jitter, for each class
of links and of failures.

Anything between nothing and a limit that doubles with each failure, so that devices which failed
together do not come back together. Only an acknowledgement of the service starts it anew: a link
that comes up, or a connection that was made, proves nothing.
"""

import random
from collections.abc import Callable, Collection

from device.model import FailureClass, LinkClass, SyncTarget
from device.policy.rules import Rules
from device.policy.state import BackoffWait

_OF_ONE_CLASS = frozenset({FailureClass.LINK, FailureClass.PORTAL})
"""Failures that tell of the way, and not of the service or of the device."""
_MOST_DOUBLINGS = 30
_Key = tuple[LinkClass, FailureClass, SyncTarget | None]


class Backoff:
    """The waits that are in force."""

    def __init__(self, rules: Rules, rng: random.Random) -> None:
        self._rules = rules
        self._random = rng
        self._waits: dict[_Key, BackoffWait] = {}

    @property
    def waits(self) -> tuple[BackoffWait, ...]:
        return tuple(self._waits.values())

    def failed(
        self,
        link_class: LinkClass,
        failure: FailureClass,
        now: float,
        target: SyncTarget | None = None,
    ) -> None:
        """A run over that class failed so, at ``now``. ``target``: only with that service, while
        others could be reached."""
        self._wait(link_class, failure, target, now)
        if failure is FailureClass.PORTAL:
            # Its own wait ends with the next link event; links that come and go must not mean that
            # it is tried each time.
            self._wait(link_class, FailureClass.LINK, target, now)

    def stopped(self, link_class: LinkClass, now: float) -> None:
        """A run over that class was stopped from here, and nothing came of it so far. It goes on
        soon: a large download takes many runs, and each continues the one before."""
        self._wait(link_class, FailureClass.LINK, None, now, more=0)

    def acknowledged(
        self, link_class: LinkClass, target: SyncTarget, *, but_for: FailureClass | None = None
    ) -> None:
        """That service acknowledged something that came over that class.

        ``but_for`` is how the same run failed with it in the end: what fails each time must not be
        tried again at once because a part of it does well. A link that breaks is different: each
        try brings some more over it.
        """

        def is_disproved(wait: BackoffWait) -> bool:
            if not wait.concerns(target):
                return False
            if wait.failure is but_for and but_for is not FailureClass.LINK:
                return False
            is_of_way = wait.target is None and wait.failure in _OF_ONE_CLASS
            return wait.link_class is link_class or not is_of_way

        self._forget(is_disproved)

    def has_failed_alone(
        self, link_class: LinkClass, failure: FailureClass, target: SyncTarget
    ) -> bool:
        """Whether that service fails so by itself, as far as is known."""
        return (link_class, failure, target) in self._waits

    def link_changed(self, link_class: LinkClass) -> None:
        """A link of that class came up, or is another one now: there may be no portal on it."""
        self._forget(
            lambda wait: wait.link_class is link_class and wait.failure is FailureClass.PORTAL
        )

    def clock_trusted(self) -> None:
        self._forget(lambda wait: wait.failure is FailureClass.CLOCK)

    def keep_only(self, targets: Collection[SyncTarget]) -> None:
        """There are no others any more."""
        self._forget(lambda wait: wait.target is not None and wait.target not in targets)

    # --- over restarts ----------------------------------------------------------------------------

    def kept(self, now: float) -> list[dict[str, object]]:
        """The waits as plain values; how long the device is off does not count."""
        return [
            {
                "link_class": wait.link_class.value,
                "failure": wait.failure.value,
                "target": None if wait.target is None else [wait.target.map, wait.target.url],
                "failures": wait.failures,
                "left_s": round(max(0.0, wait.until - now), 3),
            }
            for wait in self.waits
        ]

    def restore(self, saved: object, now: float) -> None:
        """Go on with what was kept; what is not understood is left out."""
        for one in saved if isinstance(saved, list) else []:
            wait = _restored(one, now, self._rules)
            if wait is not None:
                self._waits[wait.link_class, wait.failure, wait.target] = wait

    # --- inside -----------------------------------------------------------------------------------

    def _wait(
        self,
        link_class: LinkClass,
        failure: FailureClass,
        target: SyncTarget | None,
        now: float,
        *,
        more: int = 1,
    ) -> None:
        key = (link_class, failure, target)
        number = self._waits[key].failures if key in self._waits else 0
        rules = self._rules.of(link_class)
        base, limit = rules.backoff_base_s, rules.backoff_limit_s
        if failure is FailureClass.PORTAL:
            base, limit = self._rules.portal_backoff_base_s, self._rules.portal_backoff_limit_s
        pause = self._random.uniform(0, min(limit, base * 2 ** min(number, _MOST_DOUBLINGS)))
        self._waits[key] = BackoffWait(
            link_class=link_class,
            failure=failure,
            target=target,
            failures=number + more,
            until=now + pause,
        )

    def _forget(self, is_over: Callable[[BackoffWait], bool]) -> None:
        self._waits = {key: wait for key, wait in self._waits.items() if not is_over(wait)}


def _restored(saved: object, now: float, rules: Rules) -> BackoffWait | None:
    try:
        values = dict(saved)  # type: ignore[call-overload]  # whatever it is
        link_class = LinkClass(values["link_class"])
        left_s, failures = float(values["left_s"]), int(values["failures"])
        failure, target = FailureClass(values["failure"]), _target(values.get("target"))
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    limit_s = max(rules.of(link_class).backoff_limit_s, rules.portal_backoff_limit_s)
    if not 0 <= left_s <= limit_s or failures < 0:
        return None
    return BackoffWait(
        link_class=link_class,
        failure=failure,
        target=target,
        failures=failures,
        until=now + left_s,
    )


def _target(saved: object) -> SyncTarget | None:
    if saved is None:
        return None
    if not isinstance(saved, list):
        raise TypeError(saved)
    name, url = saved
    return SyncTarget(map=str(name), url=str(url))
