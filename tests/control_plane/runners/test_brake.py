from datetime import UTC, datetime, timedelta

from control_plane.runners.brake import CRASHES, FIRST_HOLD, LONGEST_HOLD, WINDOW, Brake

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def crash(brake: Brake, times: int, *, since: datetime = NOON, every: timedelta = timedelta(seconds=7)) -> Brake:
    for number in range(times):
        brake = brake.crashed(since + number * every)
    return brake


def test_a_few_crashes_are_forgiven_and_many_pull_the_brake() -> None:
    assert not crash(Brake(), CRASHES - 1).is_on(NOON)
    braked = crash(Brake(), CRASHES)
    assert braked.is_on(NOON + timedelta(seconds=30))
    assert not braked.is_released(NOON + timedelta(seconds=30))


def test_crashes_that_are_far_apart_never_pull_the_brake() -> None:
    brake = crash(Brake(), 50, every=WINDOW / 3)
    assert brake.held_until is None
    assert len(brake.crashes) <= 4


def test_each_hold_is_longer_than_the_one_before_up_to_a_bound() -> None:
    brake, lengths = Brake(), []
    for _ in range(12):
        brake = brake.hold(NOON)
        assert brake.held_until is not None
        lengths.append(brake.held_until - NOON)
        brake = brake.tried()
    assert lengths[:3] == [FIRST_HOLD, FIRST_HOLD * 2, FIRST_HOLD * 4]
    assert lengths[-1] == LONGEST_HOLD
    assert lengths == sorted(lengths)


def test_a_hold_ends_by_itself_and_a_long_run_makes_all_forgotten() -> None:
    brake = Brake().hold(NOON)
    later = NOON + FIRST_HOLD
    assert brake.is_released(later)
    assert not brake.is_on(later)
    tried = brake.tried()
    assert tried.ran(later, later + WINDOW / 2).holds == 1
    assert tried.ran(later, later + WINDOW) == Brake()
