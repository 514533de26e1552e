import asyncio
from pathlib import Path

import psutil
from pydantic import SecretStr

from control_plane.database import SELECTION_TIMEOUT_MS, connect
from control_plane.settings import Settings
from tests.conftest import serve_database

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
