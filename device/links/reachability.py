"""Where a link leads, proven by an exchange with the service itself and by nothing else.

A sync is the proof: nothing is asked for the sake of asking, which on a metered link would cost
every day. :func:`probe` is for a person who wants to know.
"""

from dataclasses import dataclass

from device.model import FailureClass, Reach
from device.policy.failures import classify
from engine import ArcGISCredential, ArcGISCredentialStore, Clock, EngineError, GeodatabaseSyncTask

_REACHES = {
    FailureClass.LINK: Reach.NOTHING,
    FailureClass.PORTAL: Reach.PORTAL,
    # Somebody answered, but whether it is the service shows when the time is right;
    FailureClass.CLOCK: None,
    # and what fails on this device shows nothing.
    FailureClass.BUSY: None,
    FailureClass.LOCAL: None,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What a probe has shown. ``error``: why it is not the service that was expected."""

    reach: Reach | None
    error: EngineError | None = None


def reach_after(failure: FailureClass | None, *, is_acknowledged: bool) -> Reach | None:
    """What a run over a link has shown of it; None: nothing that was not known before.

    ``is_acknowledged``: the service acknowledged something, or the run came to its end, whatever
    happened then.
    """
    if is_acknowledged or failure is None:
        return Reach.SERVICE if is_acknowledged else None
    return _REACHES.get(failure, Reach.SERVICE)


async def probe(
    url: str,
    *,
    item_id: str = "",
    credential: ArcGISCredential | ArcGISCredentialStore | None = None,
    clock: Clock | None = None,
    is_clock_trusted: bool = True,
) -> Proof:
    """Ask for the feature service at ``url``, over whatever link the kernel takes.

    ``item_id``: the service's item in its portal, if it is known; another one is another service.
    """
    try:
        async with GeodatabaseSyncTask(
            url, credential=credential, clock=clock, continue_on_errors=True
        ) as task:
            await task.load()
            found = task.schema.item_id
    except EngineError as error:
        failure = classify(error, is_clock_trusted=is_clock_trusted)
        return Proof(reach=reach_after(failure, is_acknowledged=False), error=error)
    if item_id and found and found.casefold() != item_id.casefold():
        wrong = EngineError(
            f"{task.url} is the service of item {found}, and not of {item_id}",
            remedy="Check the URL: another service was published there",
        )
        return Proof(reach=Reach.NOTHING, error=wrong)
    return Proof(reach=Reach.SERVICE)
