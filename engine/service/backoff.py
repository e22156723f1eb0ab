"""How long to wait before something is tried again.

Full jitter: anything between nothing and a limit that doubles each time, so that many devices do
not come back in step after an outage. What a service asks for (``Retry-After``, RFC 9110, 10.2.3)
comes on top; if that is longer than a job should wait, the job ends and says when to come back.
"""

import random
from datetime import datetime, timedelta

from engine.errors import ServiceBusyError

BACKOFF_BASE_S = 0.5
BACKOFF_LIMIT_S = 30.0
RETRY_AFTER_LIMIT_S = 120.0  # a longer wait is for the caller to plan


def pause_s(rng: random.Random, number: int, error: Exception, now: datetime) -> float:
    """Seconds to wait after failure ``number``, counted from 1.

    :exc:`ServiceBusyError`, which names the time, if the service asks for more than
    :data:`RETRY_AFTER_LIMIT_S`.
    """
    pause = rng.uniform(0, min(BACKOFF_LIMIT_S, BACKOFF_BASE_S * 2**number))
    asked = error.retry_after_s if isinstance(error, ServiceBusyError) else None
    if asked is None:
        return pause
    if asked > RETRY_AFTER_LIMIT_S:
        assert isinstance(error, ServiceBusyError)
        moment = now + timedelta(seconds=min(asked, 10**8))
        raise ServiceBusyError(
            error.message,
            remedy=f"It asks to come back in {asked:.0f} seconds, at {moment:%Y-%m-%d %H:%M:%S} "
            "UTC; nothing is lost, sync again then",
            retry_after_s=asked,
            host=error.host,
        ) from error
    return asked + pause
