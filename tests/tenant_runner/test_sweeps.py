"""When the chats are looked through for what no event told."""

from tenant_runner.channels.whatsapp_web.sweeps import Sweeps


def looks(sweeps: Sweeps, until: int, *, sealed: bool = False) -> list[int]:
    """Ask every second; the seconds in which it looked."""
    found = []
    for now in range(1_000, 1_000 + until):
        if sweeps.due(now, sealed=sealed):
            sweeps.done(now)
            found.append(now - 1_000)
    return found


def test_a_connected_session_looks_at_once_soon_again_and_now_and_then() -> None:
    sweeps = Sweeps()
    sweeps.connected(1_000)
    assert sweeps.is_near(sealed=False)
    assert looks(sweeps, 700) == [0, 5, 30, 330, 630]
    assert not sweeps.is_near(sealed=False)


def test_while_a_message_waits_for_its_real_form_it_looks_often() -> None:
    sweeps = Sweeps()
    sweeps.done(1_000)
    assert sweeps.is_near(sealed=True)
    assert looks(sweeps, 20, sealed=True) == [5, 10, 15]


def test_what_was_told_and_not_stored_is_looked_for_at_once() -> None:
    sweeps = Sweeps()
    sweeps.done(1_000)
    sweeps.want()
    assert looks(sweeps, 20) == [0]


def test_what_could_not_be_read_is_looked_for_soon_and_then_less_often() -> None:
    sweeps = Sweeps()
    found = []
    for now in range(1_000, 2_200):
        if sweeps.due(now, sealed=False):
            sweeps.failed(now)
            found.append(now - 1_000)
    assert found == [0, 5, 15, 35, 75, 155, 315, 615, 915]
    assert sweeps.is_near(sealed=False)
    sweeps.done(2_300)
    assert not sweeps.is_near(sealed=False)
