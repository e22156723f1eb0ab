"""What holds of every decision, whatever the state."""

from dataclasses import replace
from typing import TypeVar

from hypothesis import given, settings, strategies as st
from hypothesis.strategies import SearchStrategy

from device.model import (
    FailureClass,
    Gesture,
    Link,
    LinkClass,
    Reach,
    Run,
    SyncTarget,
    Wait,
    WaitReason,
)
from device.policy.conditions import Conditions, Disk
from device.policy.decide import decide, decide_over
from device.policy.rules import DEFAULT_CLASSES, Rules
from device.policy.state import (
    BackoffWait,
    BudgetState,
    Candidate,
    PolicyState,
    Press,
    TargetState,
    Work,
)

T = TypeVar("T")

NOW = 1_000_000.0
DAY_S = 86_400.0

HARD = {
    WaitReason.PAUSED,
    WaitReason.STORAGE,
    WaitReason.UNDERVOLTAGE,
    WaitReason.TEMPERATURE,
    WaitReason.BATTERY,
    WaitReason.DISK,
    WaitReason.NO_LINK,
    WaitReason.RETRY_AFTER,
    WaitReason.BUDGET,
}
"""What a press of the button may be answered with, beside a run."""
NEEDS_SOMEBODY = {
    WaitReason.PAUSED,
    WaitReason.STORAGE,
    WaitReason.NO_LINK,
    WaitReason.AUTHENTICATION,
    WaitReason.NOTHING_TO_DO,
    WaitReason.BUDGET,
}
"""What time alone may not cure: a person, a link, or an edit must come."""

past = st.floats(NOW - 3 * DAY_S, NOW)
moments = st.floats(NOW - DAY_S, NOW + DAY_S).map(round).map(float)


def perhaps(what: SearchStrategy[T]) -> SearchStrategy[T | None]:
    return st.none() | what


@st.composite
def links(draw: st.DrawFn) -> tuple[Candidate, ...]:
    names = draw(st.lists(st.sampled_from(["eth0", "wlan0", "wwan0", "tun0"]), unique=True))
    found = []
    for name in names:
        since = draw(past)
        link = Link(
            interface=name,
            link_class=draw(st.sampled_from(LinkClass)),
            since=since,
            reach=draw(st.sampled_from(Reach)),
            is_preferred=draw(st.booleans()),
        )
        found.append(Candidate(link=link, settles_at=since + draw(st.floats(0, 25))))
    return tuple(found)


@st.composite
def work(draw: st.DrawFn) -> Work:
    first = draw(perhaps(past))
    return Work(
        pending_edits=draw(st.sampled_from([0, 0, 1, 500])),
        first_change_at=first,
        last_change_at=None if first is None else draw(st.floats(first, NOW)),
        completed_at=draw(perhaps(past)),
        pulled_at=draw(perhaps(past)),
        tried_at=draw(perhaps(past)),
    )


TARGETS = tuple(
    SyncTarget(map=name, url=f"https://{host}.example/arcgis/rest/services/{path}/FeatureServer")
    for name, host, path in (
        ("park", "one", "Park"),
        ("city", "one", "Trees"),
        ("city", "two", "Roads"),
    )
)


@st.composite
def targets(draw: st.DrawFn) -> tuple[TargetState, ...]:
    return tuple(
        TargetState(
            target=target,
            work=draw(work()),
            is_sign_in_refused=draw(st.sampled_from([False, False, True])),
        )
        for target in TARGETS[: draw(st.sampled_from([0, 1, 1, 2, 3, 3]))]
    )


@st.composite
def conditions(draw: st.DrawFn) -> Conditions:
    disk = Disk(
        folder="/maps",
        maps=draw(st.sampled_from([None, None, frozenset({"park"}), frozenset({"city"})])),
        free_bytes=draw(st.sampled_from([0, 49_000_000, 10**9, 10**11])),
        size_bytes=10**11,
        is_read_only=draw(st.sampled_from([False, False, False, True])),
    )
    return Conditions(
        read_at=draw(st.floats(NOW - 120, NOW)),
        disks=draw(st.sampled_from([(), (disk,)])),
        is_undervoltage=draw(st.sampled_from([None, False, False, True])),
        temperature_c=draw(st.sampled_from([None, 20.0, 80.0, 81.0])),
        battery_percent=draw(st.sampled_from([None, 9.9, 10.0, 100.0])),
        is_charging=draw(st.sampled_from([None, True, False])),
    )


waits = st.lists(
    st.builds(
        BackoffWait,
        link_class=st.sampled_from(LinkClass),
        failure=st.sampled_from(FailureClass),
        target=perhaps(st.sampled_from(TARGETS)),
        failures=st.integers(0, 9),
        until=moments,
    ),
    max_size=4,
).map(tuple)


@st.composite
def rules(draw: st.DrawFn) -> Rules:
    classes = {
        kind: replace(
            each,
            is_allowed=draw(st.sampled_from([True, True, True, False])),
            bytes_per_day=draw(st.sampled_from([None, 0, 1000, 2_000_000, 20_000_000])),
            edits_only=draw(st.booleans()),
            pull_interval_s=draw(st.sampled_from([None, 60.0, 900.0, 14_400.0])),
        )
        for kind, each in DEFAULT_CLASSES.items()
    }
    return Rules(
        classes=draw(st.sampled_from([DEFAULT_CLASSES, classes])), may_bind=draw(st.booleans())
    )


states = st.builds(
    PolicyState,
    rules=rules(),
    links=links(),
    is_paused=st.sampled_from([False, False, False, True]),
    targets=targets(),
    broken_maps=st.sampled_from([(), (), ("Trees",)]),
    press=perhaps(
        st.builds(
            Press,
            gesture=st.sampled_from(Gesture),
            at=past,
            maps=st.sampled_from([None, None, frozenset({"city"}), frozenset({"park"})]),
        )
    ),
    conditions=conditions(),
    budgets=st.dictionaries(
        st.sampled_from(LinkClass),
        st.builds(
            BudgetState,
            used_bytes=st.sampled_from([0, 999, 1_990_000, 5_000_000, 30_000_000]),
            turns_at=st.floats(NOW - 10, NOW + DAY_S),
        ),
    ),
    waits=waits,
    retry_after=st.dictionaries(
        st.sampled_from(["one.example", "two.example", TARGETS[0].url]), moments
    ),
)


def said(answer: Run | Wait) -> object:
    return answer if isinstance(answer, Run) else (answer.reason, answer.detail)


def is_pressed(state: PolicyState, now: float = NOW) -> bool:
    press = state.press
    return (
        press is not None
        and press.gesture in (Gesture.SHORT, Gesture.LONG)
        and now < press.at + state.rules.press_lifetime_s
    )


def is_meant(state: PolicyState, target: SyncTarget) -> bool:
    press = state.press
    return (
        is_pressed(state) and press is not None and (press.maps is None or target.map in press.maps)
    )


@settings(max_examples=150, deadline=None)
@given(state=states, share=st.floats(0, 1, exclude_max=True))
def test_until_is_the_moment_at_which_the_answer_changes(state: PolicyState, share: float) -> None:
    answer = decide(state, NOW)

    if isinstance(answer, Run):
        return
    if answer.until is None:
        assert said(decide(state, NOW + share * 30 * DAY_S)) == said(answer)
        return
    assert answer.until > NOW
    assert said(decide(state, answer.until)) != said(answer)
    between = NOW + share * (answer.until - NOW)
    assert between == answer.until or said(decide(state, between)) == said(answer)


@settings(max_examples=60, deadline=None)
@given(state=states)
def test_every_wait_has_one_plain_sentence(state: PolicyState) -> None:
    answer = decide(state, NOW)

    if isinstance(answer, Wait):
        assert answer.detail.endswith(".")
        assert "\n" not in answer.detail
        assert answer.detail[0].isupper() or answer.detail.startswith(
            ("eth", "wlan", "wwan", "tun")
        )


@settings(max_examples=80, deadline=None)
@given(state=states)
def test_a_run_is_never_refused_at_the_same_time(state: PolicyState) -> None:
    answer = decide(state, NOW)

    if not isinstance(answer, Run):
        return
    conditions = state.conditions
    is_fresh = conditions.read_at + state.rules.reading_lifetime_s > NOW
    assert not state.is_paused
    if is_fresh:
        assert not conditions.is_undervoltage
        assert (conditions.temperature_c or 0) <= 80
        assert conditions.is_charging or (conditions.battery_percent or 100) >= 10
        used = [d for d in conditions.disks if any(d.has(t.map) for t in answer.targets)]
        assert not any(disk.is_read_only for disk in used)
        assert not (answer.pull and any(disk.free_bytes < 50_000_000 for disk in used))
    works = {one.target: one for one in state.targets}
    assert answer.targets
    assert len(set(answer.targets)) == len(answer.targets)
    assert set(answer.targets) <= set(works)
    assert all((state.left_alone_until(target) or NOW) <= NOW for target in answer.targets)
    assert answer.link in [candidate.link for candidate in state.links]
    if answer.is_bound:
        preferred = [c.link for c in state.links if c.link.is_preferred]
        assert any(link.reach in (Reach.NOTHING, Reach.PORTAL) for link in preferred)
        assert state.rules.may_bind
    assert answer.link.is_preferred is not answer.is_bound
    assert state.rules.of(answer.link.link_class).is_allowed
    for target in answer.targets:
        assert answer.pull or works[target].work.pending_edits
        assert is_meant(state, target) or not works[target].is_sign_in_refused


@settings(max_examples=80, deadline=None)
@given(state=states)
def test_a_run_never_exceeds_the_budget(state: PolicyState) -> None:
    answer = decide(state, NOW)

    if not isinstance(answer, Run):
        return
    limit = state.rules.of(answer.link.link_class).bytes_per_day
    if limit is None:
        assert answer.max_bytes is None
        return
    assert answer.max_bytes is not None
    assert 0 < answer.max_bytes <= limit
    budget = state.budgets.get(answer.link.link_class)
    is_granted = (
        is_pressed(state) and state.press is not None and state.press.gesture is Gesture.LONG
    )
    if budget is not None and budget.turns_at > NOW and not is_granted:
        assert answer.max_bytes + budget.used_bytes <= limit


@settings(max_examples=80, deadline=None)
@given(state=states, gesture=st.sampled_from([Gesture.SHORT, Gesture.LONG]))
def test_a_press_is_answered_by_a_run_or_a_hard_reason(
    state: PolicyState, gesture: Gesture
) -> None:
    answer = decide(replace(state, press=Press(gesture=gesture, at=NOW)), NOW)

    is_possible = bool(state.targets)
    assert isinstance(answer, Run) or answer.reason in HARD or not is_possible


@settings(max_examples=60, deadline=None)
@given(state=states)
def test_what_time_cures_is_waited_for_and_nothing_else_is_for_ever(state: PolicyState) -> None:
    answer = decide(state, NOW)

    if isinstance(answer, Wait) and answer.until is None:
        assert answer.reason in NEEDS_SOMEBODY


@settings(max_examples=80, deadline=None)
@given(state=states, link_class=st.sampled_from(LinkClass))
def test_pending_edits_over_an_allowed_link_are_run_in_the_end(
    state: PolicyState, link_class: LinkClass
) -> None:
    """Whatever failed before, and however often: following ``until`` leads to a run."""
    link = Link(interface="x0", link_class=link_class, since=NOW - 1)
    possible = replace(
        state,
        rules=Rules(),
        links=(Candidate(link=link, settles_at=NOW + 20),),
        is_paused=False,
        targets=tuple(
            replace(one, is_sign_in_refused=False, work=replace(one.work, pending_edits=1))
            for one in state.targets or (TargetState(target=TARGETS[0]),)
        ),
    )

    now, answer, reasons = NOW, decide(possible, NOW), list[WaitReason]()
    while isinstance(answer, Wait) and len(reasons) < 50:
        reasons.append(answer.reason)
        assert answer.until is not None, reasons
        now = answer.until
        answer = decide(possible, now)

    assert isinstance(answer, Run), reasons
    assert now - NOW <= 3 * DAY_S


@settings(max_examples=50, deadline=None)
@given(state=states)
def test_failures_of_other_classes_hold_nothing_back(state: PolicyState) -> None:
    state = replace(state, rules=replace(state.rules, may_bind=False))
    answer = decide(state, NOW)

    preferred = {c.link.link_class for c in state.links if c.link.is_preferred}
    own = tuple(wait for wait in state.waits if wait.link_class in preferred)
    assert decide(replace(state, waits=own), NOW) == answer


@settings(max_examples=100, deadline=None)
@given(state=states, kind=st.sampled_from(LinkClass))
def test_dialling_is_worth_it_exactly_when_the_link_would_be_used(
    state: PolicyState, kind: LinkClass
) -> None:
    answer = decide_over(state, kind, NOW)

    dialled = Candidate(
        link=Link(interface="ppp7", link_class=kind, since=NOW - 60), settles_at=NOW - 1
    )
    after = decide(replace(state, links=(dialled,)), NOW)
    assert isinstance(answer, Run) == isinstance(after, Run)
    if isinstance(answer, Wait) and answer.until is not None:
        assert said(decide_over(state, kind, answer.until)) != said(answer)


@settings(max_examples=100, deadline=None)
@given(state=states, sick=st.sampled_from(TARGETS))
def test_what_ails_one_service_keeps_no_other_from_being_synced(
    state: PolicyState, sick: SyncTarget
) -> None:
    """What is synced without it is synced with it, too, whatever holds it back."""
    others = tuple(one for one in state.targets if one.target != sick)
    names = {name for one in others for name in (one.target.host, one.target.url)}
    without = replace(
        state,
        targets=others,
        waits=tuple(wait for wait in state.waits if wait.target != sick),
        retry_after={name: at for name, at in state.retry_after.items() if name in names},
    )

    alone, among = decide(without, NOW), decide(state, NOW)

    if isinstance(alone, Run):
        assert isinstance(among, Run), among
        is_first = state.press is not None and is_meant(state, sick)
        assert set(among.targets) >= set(alone.targets) or is_first


@settings(max_examples=60, deadline=None)
@given(state=states)
def test_all_services_are_synced_in_the_end(state: PolicyState) -> None:
    """Following the answers, with runs that do all of their work, each has its turn."""
    link = Link(interface="x0", link_class=LinkClass.WIFI, since=NOW - 1)
    state = replace(
        state,
        rules=Rules(),
        links=(Candidate(link=link, settles_at=NOW),),
        is_paused=False,
        conditions=Conditions(read_at=NOW),
        press=None,
        retry_after={host: min(at, NOW + 3600) for host, at in state.retry_after.items()},
        waits=tuple(replace(wait, until=min(wait.until, NOW + 3600)) for wait in state.waits),
        targets=tuple(replace(one, is_sign_in_refused=False) for one in state.targets),
    )
    wanted, now = {one.target for one in state.targets}, NOW
    for _ in range(30):
        answer = decide(state, now)
        if isinstance(answer, Wait):
            if answer.until is None:
                break
            now = answer.until
            continue
        done = Work(completed_at=now, pulled_at=now, tried_at=now)
        wanted -= set(answer.targets)
        state = replace(
            state,
            targets=tuple(
                replace(one, work=done) if one.target in answer.targets else one
                for one in state.targets
            ),
        )

    assert not wanted
