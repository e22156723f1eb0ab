"""Each rule of the policy alone: what is decided, why, and until when."""

from dataclasses import replace

import pytest

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
from device.policy.decide import decide
from device.policy.holds import holds
from device.policy.rules import DEFAULT_CLASSES, ClassRules, Rules
from device.policy.state import (
    BackoffWait,
    BudgetState,
    Candidate,
    PolicyState,
    Press,
    TargetState,
    Work,
)

NOW = 10_000.0
FINE = Conditions(
    read_at=NOW,
    disks=(Disk(folder="/maps", free_bytes=10**10, size_bytes=3 * 10**10),),
    is_undervoltage=False,
    temperature_c=50.0,
    battery_percent=80.0,
)


def link(kind: LinkClass, **more: object) -> Candidate:
    names = {
        LinkClass.WIRED: "eth0",
        LinkClass.WIFI: "wlan0",
        LinkClass.CELLULAR: "wwan0",
        LinkClass.ROAMING: "wwan0",
    }
    values: dict[str, object] = {
        "interface": names[kind],
        "link_class": kind,
        "since": NOW - 1000,
        "is_preferred": True,
    }
    found = Link(**(values | more))  # type: ignore[arg-type]
    return Candidate(link=found, settles_at=found.since + 10)


PARK = SyncTarget(map="park", url="https://one.example/arcgis/rest/services/Park/FeatureServer")
DUE = Work(
    pending_edits=3,
    first_change_at=NOW - 500,
    last_change_at=NOW - 400,
    completed_at=NOW - 600,
    pulled_at=NOW - 600,
)


def state(
    kind: LinkClass | None = LinkClass.WIFI,
    *,
    work: Work = DUE,
    is_sign_in_refused: bool = False,
    **more: object,
) -> PolicyState:
    """A device with a link of that class and an edit that is due."""
    park = TargetState(target=PARK, work=work, is_sign_in_refused=is_sign_in_refused)
    values: dict[str, object] = {
        "links": () if kind is None else (link(kind),),
        "conditions": FINE,
        "targets": (park,),
    }
    return PolicyState(**(values | more))  # type: ignore[arg-type]


IDLE = Work(completed_at=NOW - 60, pulled_at=NOW - 60)


def pressed(gesture: Gesture = Gesture.SHORT) -> Press:
    return Press(gesture=gesture, at=NOW)


def reason(answer: Run | Wait) -> WaitReason | None:
    return answer.reason if isinstance(answer, Wait) else None


def test_pending_edits_over_a_good_link_are_synced() -> None:
    answer = decide(state(), NOW)

    assert isinstance(answer, Run)
    assert (answer.max_bytes, answer.deadline_s, answer.pull) == (None, 600.0, True)


def test_without_a_link_nothing_but_a_link_helps() -> None:
    assert decide(state(None), NOW) == Wait(
        until=None, reason=WaitReason.NO_LINK, detail="There is no network link."
    )


def test_a_link_that_just_came_up_has_to_settle() -> None:
    fresh = Candidate(link=link(LinkClass.WIFI, since=NOW - 1).link, settles_at=NOW + 7)

    answer = decide(state(links=(fresh,)), NOW)

    assert isinstance(answer, Wait)
    assert (answer.reason, answer.until) == (WaitReason.LINK_SETTLING, NOW + 7)
    assert isinstance(decide(state(links=(fresh,)), NOW + 7), Run)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"is_undervoltage": True}, WaitReason.UNDERVOLTAGE),
        ({"temperature_c": 80.5}, WaitReason.TEMPERATURE),
        ({"battery_percent": 9.0}, WaitReason.BATTERY),
        ({"battery_percent": 9.0, "is_charging": True}, None),
        (
            {"disks": (Disk(folder="/m", free_bytes=9**9, size_bytes=9**9, is_read_only=True),)},
            WaitReason.STORAGE,
        ),
    ],
)
@pytest.mark.parametrize("press", [None, pressed(), pressed(Gesture.LONG)])
def test_the_device_protects_itself_also_from_a_press(
    changed: dict[str, object], expected: WaitReason | None, press: Press | None
) -> None:
    conditions = replace(FINE, **changed)  # type: ignore[arg-type]

    assert reason(decide(state(conditions=conditions, press=press), NOW)) is expected


def test_an_old_reading_refuses_nothing() -> None:
    hot = replace(FINE, temperature_c=99.0)

    answer = decide(state(conditions=hot), NOW)

    assert isinstance(answer, Wait)
    assert answer.until == NOW + 60
    assert isinstance(decide(state(conditions=hot), NOW + 60), Run)


def test_what_cannot_be_read_refuses_nothing() -> None:
    assert isinstance(decide(state(conditions=Conditions(read_at=NOW)), NOW), Run)


@pytest.mark.parametrize(
    ("free_bytes", "size_bytes", "is_full"),
    [
        (49_999_999, 10**8, True),
        (50_000_000, 10**8, False),
        (400_000_000, 10**10, True),
        (500_000_000, 10**10, False),
        (1_000_000_000, 10**12, False),
        (999_999_999, 10**12, True),
    ],
)
def test_on_a_full_disk_edits_go_up_and_nothing_comes_down(
    free_bytes: int, size_bytes: int, is_full: bool
) -> None:
    disk = Disk(folder="/m", free_bytes=free_bytes, size_bytes=size_bytes)
    conditions = replace(FINE, disks=(disk,))

    answer = decide(state(conditions=conditions), NOW)
    idle = decide(state(conditions=conditions, work=Work(), press=pressed()), NOW)

    assert isinstance(answer, Run)
    assert answer.pull is not is_full
    assert reason(idle) is (WaitReason.DISK if is_full else None)


def test_a_pause_holds_everything_also_a_press() -> None:
    assert reason(decide(state(is_paused=True, press=pressed()), NOW)) is WaitReason.PAUSED


def test_edits_wait_for_a_quiet_moment_but_not_for_ever() -> None:
    typing = replace(IDLE, pending_edits=1, first_change_at=NOW - 280, last_change_at=NOW)

    answer = decide(state(work=typing), NOW)

    assert isinstance(answer, Wait)
    assert (answer.reason, answer.until) == (WaitReason.EDITS_SETTLING, NOW + 20)
    assert isinstance(decide(state(work=typing, press=pressed()), NOW), Run)


@pytest.mark.parametrize(
    ("kind", "interval_s"),
    [(LinkClass.WIRED, 900), (LinkClass.WIFI, 900), (LinkClass.CELLULAR, 4 * 3600)],
)
def test_without_edits_the_next_pull_is_due_after_an_interval(
    kind: LinkClass, interval_s: float
) -> None:
    answer = decide(state(kind, work=IDLE), NOW)

    assert isinstance(answer, Wait)
    assert answer.reason is WaitReason.NOTHING_TO_DO
    assert answer.until == NOW - 60 + interval_s


def test_after_the_start_a_pull_is_due_at_once() -> None:
    assert isinstance(decide(state(work=Work()), NOW), Run)


def test_edits_that_a_sync_left_unsent_are_tried_again_later() -> None:
    left = replace(IDLE, pending_edits=2)

    answer = decide(state(LinkClass.ROAMING, work=left), NOW)

    assert isinstance(answer, Wait)
    assert (answer.reason, answer.until) == (WaitReason.NOTHING_TO_DO, NOW - 60 + 3600)


# --- the service and the link ---------------------------------------------------------------------


def waits(failure: FailureClass, kind: LinkClass = LinkClass.WIFI) -> tuple[BackoffWait, ...]:
    return (BackoffWait(link_class=kind, failure=failure, failures=2, until=NOW + 100),)


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (FailureClass.LINK, WaitReason.BACK_OFF),
        (FailureClass.SERVER, WaitReason.BACK_OFF),
        (FailureClass.LOCAL, WaitReason.BACK_OFF),
        (FailureClass.PORTAL, WaitReason.PORTAL),
        (FailureClass.CLOCK, WaitReason.CLOCK),
    ],
)
def test_after_a_failure_a_while_passes_unless_somebody_presses(
    failure: FailureClass, expected: WaitReason
) -> None:
    answer = decide(state(waits=waits(failure)), NOW)

    assert isinstance(answer, Wait)
    assert (answer.reason, answer.until) == (expected, NOW + 100)
    assert isinstance(decide(state(waits=waits(failure), press=pressed()), NOW), Run)


def test_a_better_link_does_not_wait_for_the_failures_of_another() -> None:
    failed = state(LinkClass.CELLULAR, waits=waits(FailureClass.SERVER, LinkClass.CELLULAR))

    better = replace(
        failed, links=(link(LinkClass.WIFI), link(LinkClass.CELLULAR, is_preferred=False))
    )

    assert reason(decide(failed, NOW)) is WaitReason.BACK_OFF
    assert isinstance(decide(better, NOW), Run)


@pytest.mark.parametrize("press", [None, pressed(), pressed(Gesture.LONG)])
def test_what_the_service_asks_for_holds_also_against_a_press(press: Press | None) -> None:
    answer = decide(state(retry_after={PARK.host: NOW + 77}, press=press), NOW)

    assert isinstance(answer, Wait)
    assert (answer.reason, answer.until) == (WaitReason.RETRY_AFTER, NOW + 77)


def test_a_refused_sign_in_waits_for_a_person() -> None:
    refused = state(is_sign_in_refused=True)

    answer = decide(refused, NOW)

    assert isinstance(answer, Wait)
    assert (answer.reason, answer.until) == (WaitReason.AUTHENTICATION, None)
    assert isinstance(decide(replace(refused, press=pressed()), NOW), Run)


def test_a_run_goes_where_the_kernel_routes_and_nowhere_else() -> None:
    dear_first = state(
        links=(link(LinkClass.WIFI, is_preferred=False), link(LinkClass.CELLULAR)),
        waits=waits(FailureClass.LINK, LinkClass.CELLULAR),
    )

    answer = decide(dear_first, NOW)
    later = decide(dear_first, NOW + 100)

    assert isinstance(answer, Wait)
    assert answer.detail.endswith(
        "The kernel does not route over wlan0 (wifi): the metric is higher."
    )
    assert isinstance(later, Run)
    assert later.link.interface == "wwan0"


DEAD_END = (
    link(LinkClass.WIRED, reach=Reach.NOTHING),
    link(LinkClass.CELLULAR, is_preferred=False),
)


def test_around_a_link_that_leads_nowhere_a_run_is_bound_to_another() -> None:
    dead = state(
        links=DEAD_END,
        waits=waits(FailureClass.LINK, LinkClass.WIRED),
        rules=Rules(may_bind=True),
    )

    around, again = decide(dead, NOW), decide(dead, NOW + 100)

    assert isinstance(around, Run)
    assert (around.link.interface, around.is_bound) == ("wwan0", True)
    assert around.max_bytes == 15_000_000
    assert isinstance(again, Run)
    assert (again.link.interface, again.is_bound) == ("eth0", False)


@pytest.mark.parametrize(
    ("failure", "reach", "may_bind"),
    [
        (FailureClass.LINK, Reach.NOTHING, False),
        (FailureClass.LINK, Reach.UNKNOWN, True),
        (FailureClass.SERVER, Reach.SERVICE, True),
    ],
)
def test_around_a_link_that_leads_to_the_service_nothing_goes(
    failure: FailureClass, reach: Reach, may_bind: bool
) -> None:
    links = (link(LinkClass.WIRED, reach=reach), DEAD_END[1])

    answer = decide(
        state(links=links, waits=waits(failure, LinkClass.WIRED), rules=Rules(may_bind=may_bind)),
        NOW,
    )

    assert reason(answer) is WaitReason.BACK_OFF


def test_around_a_dead_end_the_rules_of_the_other_link_hold() -> None:
    dead = state(
        links=DEAD_END,
        waits=waits(FailureClass.LINK, LinkClass.WIRED),
        rules=Rules(may_bind=True),
        budgets=used(LinkClass.CELLULAR, 20_000_000),
    )

    assert reason(decide(dead, NOW)) is WaitReason.BACK_OFF


def test_two_routes_for_two_protocols_count_as_the_dearer() -> None:
    both = state(links=(link(LinkClass.WIRED), link(LinkClass.CELLULAR)))

    answer = decide(both, NOW)

    assert isinstance(answer, Run)
    assert answer.link.link_class is LinkClass.CELLULAR


# --- budgets --------------------------------------------------------------------------------------


def used(kind: LinkClass, size_bytes: int) -> dict[LinkClass, BudgetState]:
    return {kind: BudgetState(used_bytes=size_bytes, turns_at=NOW + 5000)}


def test_what_comes_down_leaves_a_part_of_the_days_budget_for_edits() -> None:
    fresh = decide(state(LinkClass.CELLULAR), NOW)
    some = decide(state(LinkClass.CELLULAR, budgets=used(LinkClass.CELLULAR, 9_000_000)), NOW)
    most = state(LinkClass.CELLULAR, budgets=used(LinkClass.CELLULAR, 15_000_000))
    edits, idle = decide(most, NOW), decide(replace(most, targets=(TargetState(target=PARK),)), NOW)

    assert isinstance(fresh, Run)
    assert isinstance(some, Run)
    assert isinstance(edits, Run)
    assert (fresh.max_bytes, fresh.pull) == (15_000_000, True)
    assert (some.max_bytes, some.pull) == (6_000_000, True)
    assert (edits.max_bytes, edits.pull) == (5_000_000, False)
    assert reason(idle) is WaitReason.BUDGET


def test_a_used_budget_waits_for_the_next_day() -> None:
    spent = state(LinkClass.CELLULAR, budgets=used(LinkClass.CELLULAR, 19_990_000))

    answer = decide(spent, NOW)
    tomorrow = decide(spent, NOW + 5000)

    assert isinstance(answer, Wait)
    assert (answer.reason, answer.until) == (WaitReason.BUDGET, NOW + 5000)
    assert isinstance(tomorrow, Run)
    assert tomorrow.max_bytes == 15_000_000


def test_a_long_press_grants_one_more_days_budget() -> None:
    spent = state(LinkClass.CELLULAR, budgets=used(LinkClass.CELLULAR, 20_000_000))

    short = decide(replace(spent, press=pressed()), NOW)
    long = decide(replace(spent, press=pressed(Gesture.LONG)), NOW)

    assert isinstance(short, Wait)
    assert "hold the button" in short.detail
    assert isinstance(long, Run)
    assert long.max_bytes == 20_000_000


def test_over_a_roaming_link_only_edits_go_up() -> None:
    with_edits = decide(state(LinkClass.ROAMING), NOW)
    without = state(LinkClass.ROAMING, work=Work())

    assert isinstance(with_edits, Run)
    assert not with_edits.pull
    assert with_edits.max_bytes == 2_000_000
    assert reason(decide(without, NOW)) is WaitReason.NOTHING_TO_DO
    assert reason(decide(replace(without, press=pressed()), NOW)) is WaitReason.BUDGET
    anyway = decide(replace(without, press=pressed(Gesture.LONG)), NOW)
    assert isinstance(anyway, Run)
    assert anyway.pull


def test_a_class_that_is_forbidden_is_not_used_even_by_a_long_press() -> None:
    never = ClassRules(
        is_allowed=False,
        pull_interval_s=None,
        settle_s=15,
        backoff_base_s=30,
        backoff_limit_s=60,
        deadline_s=60,
    )
    rules = Rules(classes={**DEFAULT_CLASSES, LinkClass.ROAMING: never})

    answer = decide(state(LinkClass.ROAMING, rules=rules, press=pressed(Gesture.LONG)), NOW)

    assert reason(answer) is WaitReason.BUDGET
    assert "forbids" in answer.detail if isinstance(answer, Wait) else False


def test_a_press_that_could_not_be_obeyed_is_forgotten_after_a_while() -> None:
    nowhere = state(None, work=IDLE, press=pressed(), rules=Rules(press_lifetime_s=600))

    answer = decide(nowhere, NOW)

    assert isinstance(answer, Wait)
    assert (answer.reason, answer.until) == (WaitReason.NO_LINK, NOW + 600)
    assert reason(decide(nowhere, NOW + 600)) is WaitReason.NOTHING_TO_DO


@pytest.mark.parametrize("gesture", [Gesture.VERY_LONG, Gesture.STUCK])
def test_other_gestures_ask_for_no_sync(gesture: Gesture) -> None:
    assert reason(decide(state(work=IDLE, press=pressed(gesture)), NOW)) is WaitReason.NOTHING_TO_DO


# --- several services -----------------------------------------------------------------------------

CITY = SyncTarget(map="city", url="https://two.example/arcgis/rest/services/City/FeatureServer")
TREES = SyncTarget(map="city", url="https://one.example/arcgis/rest/services/Trees/FeatureServer")


def several(*, refused: SyncTarget | None = None, **more: object) -> PolicyState:
    """Three services of two maps and two hosts, with an edit for each."""
    targets = tuple(
        TargetState(target=one, work=DUE, is_sign_in_refused=one == refused)
        for one in (PARK, CITY, TREES)
    )
    return state(targets=targets, **more)  # type: ignore[arg-type]  # none of its own words


def run_targets(answer: Run | Wait) -> tuple[SyncTarget, ...]:
    assert isinstance(answer, Run), answer
    return answer.targets


def failed(target: SyncTarget, failure: FailureClass = FailureClass.SERVER) -> BackoffWait:
    return BackoffWait(
        link_class=LinkClass.WIFI, failure=failure, target=target, failures=3, until=NOW + 100
    )


def test_one_run_takes_all_services_that_may_be_synced() -> None:
    assert run_targets(decide(several(), NOW)) == (PARK, CITY, TREES)


@pytest.mark.parametrize("failure", [f for f in FailureClass if f not in (FailureClass.REFUSED,)])
def test_a_service_that_failed_holds_no_other_back(failure: FailureClass) -> None:
    answer = decide(several(waits=(failed(PARK, failure),)), NOW)
    later = decide(several(waits=(failed(PARK, failure),)), NOW + 100)

    assert run_targets(answer) == (CITY, TREES)
    assert run_targets(later) == (PARK, CITY, TREES)


def test_a_refused_sign_in_holds_no_other_back() -> None:
    refused = several(refused=CITY)

    assert run_targets(decide(refused, NOW)) == (PARK, TREES)
    assert run_targets(decide(replace(refused, press=pressed()), NOW)) == (PARK, CITY, TREES)


@pytest.mark.parametrize("press", [None, pressed(), pressed(Gesture.LONG)])
def test_a_host_that_asked_for_time_gets_it_for_all_its_services_and_no_other_host(
    press: Press | None,
) -> None:
    asked = several(retry_after={"one.example": NOW + 77}, press=press)

    assert run_targets(decide(asked, NOW)) == (CITY,)
    assert run_targets(decide(asked, NOW + 77)) == (PARK, CITY, TREES)


def test_what_somebody_asked_for_is_synced_alone_and_first() -> None:
    one_map = Press(gesture=Gesture.SHORT, at=NOW, maps=frozenset({"city"}))

    asked = several(press=one_map, waits=(failed(CITY),))

    assert run_targets(decide(asked, NOW)) == (CITY, TREES)


def test_what_somebody_asked_for_and_may_not_be_holds_no_other_back() -> None:
    one_map = Press(gesture=Gesture.SHORT, at=NOW, maps=frozenset({"park"}))
    busy = several(press=one_map, retry_after={"one.example": NOW + 77})

    run = decide(busy, NOW)
    quiet = replace(busy, targets=(*busy.targets[:1], TargetState(target=CITY, work=IDLE)))
    wait = decide(quiet, NOW)

    assert run_targets(run) == (CITY,)
    assert reason(wait) is WaitReason.RETRY_AFTER, "and not that there is nothing to do"


@pytest.mark.parametrize(
    ("work", "is_taken"),
    [
        (replace(IDLE, pulled_at=NOW - 450), True),
        (replace(IDLE, pulled_at=NOW - 449), False),
        (replace(IDLE, pending_edits=1), False),
        (replace(IDLE, pending_edits=1, last_change_at=NOW), True),
    ],
)
def test_what_soon_is_due_goes_along_with_another_but_starts_nothing(
    work: Work, is_taken: bool
) -> None:
    other = TargetState(target=CITY, work=work)

    alone = decide(state(targets=(other,)), NOW)
    along = decide(state(targets=(several().targets[0], other)), NOW)

    assert isinstance(alone, Wait)
    assert run_targets(along) == ((PARK, CITY) if is_taken else (PARK,))


def test_what_waited_longest_for_its_turn_comes_first() -> None:
    """A download that fills each run to its end must not keep the others away for ever."""
    tried = [replace(DUE, tried_at=NOW - ago) for ago in (1, 50, 20)]
    targets = tuple(
        TargetState(target=one, work=work)
        for one, work in zip((PARK, CITY, TREES), tried, strict=True)
    )

    assert run_targets(decide(state(targets=targets), NOW)) == (CITY, TREES, PARK)


def test_where_only_edits_may_go_only_services_with_edits_are_asked() -> None:
    idle = TargetState(target=CITY, work=Work())
    most = state(
        LinkClass.CELLULAR,
        targets=(idle, several().targets[0]),
        budgets=used(LinkClass.CELLULAR, 15_000_000),
    )

    answer = decide(most, NOW)

    assert isinstance(answer, Run)
    assert (answer.pull, answer.targets) == (False, (PARK,))


def test_leftover_edits_are_not_sent_again_and_again_because_a_pull_is_due() -> None:
    """With a budget for edits alone, a pull stays due whatever is sent."""
    left = Work(pending_edits=2, completed_at=NOW - 1, tried_at=NOW - 1)

    answer = decide(
        state(LinkClass.CELLULAR, work=left, budgets=used(LinkClass.CELLULAR, 15_000_000)), NOW
    )

    assert reason(answer) is WaitReason.BUDGET


def test_the_reason_names_the_service_where_there_are_several() -> None:
    alone = decide(state(is_sign_in_refused=True), NOW)
    targets = (several(refused=PARK).targets[0], TargetState(target=CITY, work=IDLE))
    among = decide(state(targets=targets), NOW)

    assert isinstance(alone, Wait)
    assert isinstance(among, Wait)
    assert alone.detail.startswith("The service refused the sign-in")
    assert among.detail.startswith(
        "The service one.example/arcgis/rest/services/Park/FeatureServer refused the sign-in"
    )


def test_what_is_left_alone_is_told_while_others_are_synced() -> None:
    told = holds(
        several(
            refused=CITY,
            waits=(failed(TREES), failed(PARK, FailureClass.LINK)),
            retry_after={"one.example": NOW + 77},
        ),
        NOW,
        LinkClass.WIFI,
    )
    later = holds(several(waits=(failed(TREES),)), NOW + 99, LinkClass.WIFI)
    elsewhere = holds(several(waits=(failed(TREES),)), NOW, LinkClass.CELLULAR)

    assert [(h.target, h.wait.reason, h.wait.until) for h in told] == [
        (PARK, WaitReason.RETRY_AFTER, NOW + 77),
        (CITY, WaitReason.AUTHENTICATION, None),
        (TREES, WaitReason.RETRY_AFTER, NOW + 77),
    ]
    assert [(h.target, h.wait.reason, h.wait.until) for h in later] == [
        (TREES, WaitReason.BACK_OFF, NOW + 100)
    ]
    assert "3 times: it could not do it" in later[0].wait.detail
    assert elsewhere == ()


# --- maps that cannot be used ---------------------------------------------------------------------


def test_a_broken_map_keeps_no_other_from_being_synced() -> None:
    assert run_targets(decide(state(broken_maps=("city",)), NOW)) == (PARK,)


@pytest.mark.parametrize("press", [None, pressed(), pressed(Gesture.LONG)])
def test_if_all_maps_are_broken_a_person_is_needed(press: Press | None) -> None:
    answer = decide(state(targets=(), broken_maps=("park", "city"), press=press), NOW)

    assert isinstance(answer, Wait)
    assert answer.reason is WaitReason.STORAGE
    assert "park, city" in answer.detail


def test_without_maps_there_is_nothing_to_do() -> None:
    assert reason(decide(state(targets=()), NOW)) is WaitReason.NOTHING_TO_DO
