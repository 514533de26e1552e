"""Data that an older version left is what this one expects, once, and whatever is new meanwhile stays."""

from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo import IndexModel

from control_plane.conversations.repository import Conversations
from control_plane.database import RETIRED_INDEXES, Database, ensure_indexes
from control_plane.upgrades import STEPS, upgrade
from tests.control_plane.site import store_messages

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def message(number: int, chat_id: str, **values: Any) -> dict[str, Any]:
    return {
        "message_id": f"m{number}",
        "chat_id": chat_id,
        "author": "contact",
        "kind": "chat",
        "text": f"hola {number}",
        "sent_at": NOON + timedelta(minutes=number),
        "sequence": number,
        **values,
    }


async def test_chats_from_before_there_was_a_list_are_in_it(database: Database) -> None:
    await ensure_indexes(database)
    await database["clients"].insert_many(
        [{"_id": f"c{n}", "slug": n, "port": n, "runner_token_hash": n} for n in "12"]
    )
    old = [message(1, "a", contact_name="Ana"), message(3, "a"), message(2, "b"), message(4, "other")]
    await database["client_messages"].insert_many([{"client_id": "c1", **each} for each in old[:3]])
    await database["client_messages"].insert_one({"client_id": "c2", **old[3]})
    # A message of the new version was faster than the upgrade.
    await store_messages(database, "c1", [message(5, "b")])

    await upgrade(database)
    await upgrade(database)

    chats = await Conversations(database, "c1").list_chats(before=None, waiting=False, limit=10)
    assert [(chat.chat_id, chat.last.text, chat.contact_name) for chat in chats] == [
        ("b", "hola 5", None),
        ("a", "hola 3", "Ana"),
    ]
    [chat] = await Conversations(database, "c2").list_chats(before=None, waiting=False, limit=10)
    assert chat.chat_id == "other"
    assert {document["_id"] async for document in database["upgrades"].find()} == set(STEPS)


async def test_indexes_that_no_query_uses_any_more_are_dropped(database: Database) -> None:
    messages = database["client_messages"]
    await messages.create_indexes([IndexModel([("client_id", 1), ("message_id", 1)], unique=True)])
    [old, _] = RETIRED_INDEXES["client_messages"]
    assert old in await messages.index_information()
    await ensure_indexes(database)
    left = await messages.index_information()
    assert old not in left
    assert left["message_id_1_client_id_1"]["unique"]
