import asyncio
from pathlib import Path

import psutil
import pymongo.lock
from pydantic import SecretStr

from control_plane.database import SELECTION_TIMEOUT_MS, connect
from control_plane.settings import Settings
from tests.conftest import serve_database, wait_for

STALL_S = SELECTION_TIMEOUT_MS / 1000 + 2


async def test_a_server_that_stalls_for_some_seconds_refuses_none_of_many_at_once(tmp_path: Path) -> None:
    with serve_database(tmp_path / "database") as uri:
        [server] = [child for child in psutil.Process().children() if str(tmp_path) in " ".join(child.cmdline())]
        async with connect(Settings(mongodb_uri=SecretStr(uri), data_directory=tmp_path)) as client:
            collection = client["test"]["things"]
            await collection.insert_one({"_id": -1})
            # Each but one needs a new connection, and the driver makes two of them at a time.
            server.suspend()
            inserts = [asyncio.create_task(collection.insert_one({"_id": number})) for number in range(10)]
            try:
                _done, waiting = await asyncio.wait(inserts, timeout=STALL_S)
            finally:
                server.resume()
            assert len(waiting) == 10
            await asyncio.gather(*inserts)
            assert await collection.count_documents({}) == 11


async def test_whoever_is_cancelled_while_the_driver_waits_leaves_its_lock_free() -> None:
    lock = pymongo.lock._async_create_lock()
    condition = pymongo.lock._async_create_condition(lock)

    async def wait() -> None:
        async with lock:
            await pymongo.lock._async_cond_wait(condition, 0.01)

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    # The lock comes to whoever asked for it first when the other begins to wait.
    async with lock:
        # Its time is over, and it cannot go on before it has the lock again: the worst moment to be cancelled in.
        await wait_for(lambda: not condition._waiters)
        waiting.cancel()
        await asyncio.sleep(0)
    assert [type(end) for end in await asyncio.gather(waiting, return_exceptions=True)] == [asyncio.CancelledError]
    async with asyncio.timeout(10), lock:
        assert lock.locked()
