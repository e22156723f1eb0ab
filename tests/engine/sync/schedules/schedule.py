"""What happens in one schedule, drawn from its seed. Steps can be left out, the rest still runs."""

import random
from dataclasses import dataclass, replace

from engine.model import ConflictPolicy, SyncDirection, SyncModel
from engine.sync.parameters import PushChannel
from tests.engine.sync.schedules.step import Event, Step
from tests.engine.sync.schedules.wide import widened
from tests.engine.sync.schedules.world import Taken
from tests.feature_service import Fault, Profile
from tests.feature_service.profile import switches


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """How one device syncs."""

    name: str
    channel: PushChannel
    policy: ConflictPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """``is_wide``: there is more in it than edits, syncs and decisions (``wide.py``)."""

    seed: int
    profile: Profile
    model: SyncModel
    parties: tuple[Party, ...]
    is_narrow: bool
    steps: tuple[Step, ...]
    is_wide: bool = False
    taken: Taken = Taken.ALL

    def __str__(self) -> str:
        usual = Profile()
        odd = [n for n in switches() if getattr(self.profile, n) != getattr(usual, n)]
        shown = ", ".join(f"{n}={getattr(self.profile, n)}" for n in odd) or "as documented"
        lines = [f"seed {self.seed}, {self.model.name}; service: {shown}"]
        lines[0] += "; all at the same rows" if self.is_narrow else ""
        lines[0] += "; all sizes small" if self.is_wide else ""
        lines[0] += f"; taken: {self.taken.value}"
        lines += [f"  {p.name}: {p.channel.name}, {p.policy.name}" for p in self.parties]
        return "\n".join([*lines, *(f"  {step}" for step in self.steps)])


_WHAT = [
    *(["edit"] * 5),
    *(["foreign"] * 5),
    *(["office"] * 3),
    *(["sync"] * 7),
    "person",
    "cut",
    "reopen",
]
_MISHAPS = ("replica-unregistered", "generation-overtaken")
_OPERATIONS = (
    *(["applyEdits"] * 3),
    *(["synchronizeReplica"] * 3),
    *(["jobs"] * 2),
    "replicafiles",
    "query",
    "attachment",
    "attachments",
    "layers",
    "*",
)
KINDS = (
    "drop-before-commit",
    "drop-after-commit",
    "drop-after-commit",
    "cut-response",
    "cut-upload",
    "status",
    "truncated-result",
    "corrupt-result",
    "expired-result",
    "duplicate",
    "job-failed",
)
_EVENTS = (
    *(["kill"] * 2),
    *(["power"] * 2),
    *(["overtaken"] * 2),  # the office edits what was just sent, and the device dies
    *(["foreign"] * 4),
    *(["office"] * 2),
    "cancel",
    "sync",
)


def draw_schedule(seed: int) -> Schedule:
    """The schedule of that seed; the same seed, the same schedule."""
    draw = random.Random(seed)
    profile = _profile(draw)
    if profile.remints_global_ids and draw.random() < 0.8:
        profile = replace(profile, remints_global_ids=False)
    if profile.sync_models == "both":
        model = draw.choice([SyncModel.PER_LAYER, SyncModel.PER_REPLICA])
    else:
        is_per_layer = profile.sync_models == "perLayer"
        model = SyncModel.PER_LAYER if is_per_layer else SyncModel.PER_REPLICA
    channels = [PushChannel.AUTO, PushChannel.APPLY_EDITS, PushChannel.SYNCHRONIZE_REPLICA]
    policies = [
        *[ConflictPolicy.LAST_SYNCED] * 3,
        ConflictPolicy.REMOTE_WINS,
        ConflictPolicy.MANUAL,
    ]
    parties = tuple(
        Party(name=name, channel=draw.choice(channels), policy=draw.choice(policies))
        for name in "ABC"[: draw.choice([1, 2, 2, 2, 3, 3])]
    )
    is_narrow = draw.random() < 0.5
    names = [party.name for party in parties]
    count = draw.choice([4, 8, 12, 16, 24])
    steps: list[Step] = []
    while len(steps) < count:
        step = _step(draw, len(steps) + 1, names)
        if step.what == "sync" and draw.random() < 0.6:  # with something to send, mostly
            what = draw.choice(["edit", "foreign"])
            before = replace(step, what=what, faults=(), event=None, draw=draw.randrange(1 << 30))
            steps.append(replace(before, direction=SyncDirection.BIDIRECTIONAL, rollback=False))
            step = replace(step, number=step.number + 1)
        steps.append(step)
    if profile.remints_global_ids:
        # A row that was added under another GlobalID, with the answer lost, cannot be told from one
        # that somebody else added: that is not proven here.
        steps = [replace(step, faults=(), event=None) for step in steps]
        profile = replace(profile, update_of_missing="fail")  # it would be an add
    is_wide = not profile.remints_global_ids and draw.random() < 0.5
    return Schedule(
        seed=seed,
        profile=profile,
        model=model,
        parties=parties,
        is_narrow=is_narrow,
        steps=widened(draw, steps, names, model) if is_wide else tuple(steps),
        is_wide=is_wide,
        taken=draw.choice([Taken.ALL, *Taken]) if is_wide else Taken.ALL,
    )


def _profile(draw: random.Random) -> Profile:
    """As documented, with a few switches set, or with all of them drawn."""
    kind = draw.random()
    if kind < 0.25:
        return Profile(job_polls=draw.choice([0, 1]))
    if kind < 0.5:
        every = switches()
        changes = {n: draw.choice(every[n]) for n in draw.sample(sorted(every), 3)}
        return replace(Profile(), **changes)  # type: ignore[arg-type]  # values of their own
    return Profile.random(draw.randrange(1 << 30))


def _step(draw: random.Random, number: int, names: list[str]) -> Step:
    what = draw.choice(_WHAT) if draw.random() > 0.02 else draw.choice(_MISHAPS)
    step = Step(number=number, draw=draw.randrange(1 << 30), what=what)
    if what != "office":
        step = replace(step, device=draw.choice(names))
    if what != "sync":
        return step
    faults = [_fault(draw) for _ in range(draw.choice([0, 0, 0, 0, 1, 1, 2, 3]))]
    event = None
    if draw.random() < 0.6:
        kind = draw.choice(_EVENTS)
        at = draw.choice([draw.randrange(1, 10), draw.randrange(5, 20), draw.randrange(1, 40)])
        event = Event(at=at, what=kind, draw=draw.randrange(1 << 30))
    direction = SyncDirection.BIDIRECTIONAL
    if draw.random() < 0.15:
        direction = draw.choice([SyncDirection.UPLOAD, SyncDirection.DOWNLOAD])
    return replace(
        step,
        faults=tuple(faults),
        event=event,
        direction=direction,
        rollback=draw.random() < 0.05,
    )


def _fault(draw: random.Random) -> Fault:
    kind = draw.choice(KINDS)
    operation = draw.choice(_OPERATIONS)
    return Fault(
        kind=kind,  # type: ignore[arg-type]  # one of the kinds
        # Nothing could tell a flipped byte of a photo, or of a value; one of the form is seen.
        operation="replicafiles" if kind == "corrupt-result" else operation,
        skip=draw.randrange(4),
        times=draw.choice([1, 1, 2, 6]),
        at_byte=1 if kind == "corrupt-result" else draw.randrange(1, 2000),
        status=draw.choice([429, 500, 503, 504]),
    )
