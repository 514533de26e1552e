"""One holder at a time, and a number that tells an old holder from a new one."""

import asyncio

from control_plane.database import Database
from control_plane.leases import Leases
from tests.conftest import wait_for


async def test_one_of_many_gets_the_lease_and_keeps_it(database: Database) -> None:
    leases = Leases(database)
    got = await asyncio.gather(*(leases.acquire("scheduler", f"holder-{number}", 30) for number in range(5)))
    [held] = [lease for lease in got if lease is not None]
    prolonged = await leases.acquire("scheduler", held.holder, 60)
    assert prolonged is not None
    assert prolonged.token == held.token == 1
    assert prolonged.until > held.until


async def test_a_lease_that_ran_out_goes_to_another_with_a_greater_token(database: Database) -> None:
    leases = Leases(database)
    first = await leases.acquire("scheduler", "first", 30)
    assert first is not None
    assert await leases.acquire("scheduler", "second", 30) is None
    # It runs out now.
    await leases.acquire("scheduler", "first", 0)
    second = await wait_for(lambda: leases.acquire("scheduler", "second", 30))
    assert second is not None
    assert second.token == first.token + 1
    assert await leases.acquire("scheduler", "first", 30) is None


async def test_a_lease_that_was_given_back_is_free_at_once(database: Database) -> None:
    leases = Leases(database)
    assert await leases.acquire("scheduler", "first", 30) is not None
    await leases.release("scheduler", "somebody else")
    assert await leases.acquire("scheduler", "second", 30) is None
    await leases.release("scheduler", "first")
    taken = await leases.acquire("scheduler", "second", 30)
    assert taken is not None
    assert (await leases.find("scheduler")) == taken
