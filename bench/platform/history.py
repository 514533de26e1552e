"""A client with very many messages: its pages, how the database finds what they ask for, its export."""

import time
from collections import deque
from datetime import UTC, datetime

from pymongo import AsyncMongoClient, monitoring

from bench.platform.clocks import Figures, spread, visit_in_turn
from bench.results import say
from bench.site import Site, make_messages, take
from control_plane.clients.models import Client
from control_plane.conversations import service as conversations_service
from control_plane.conversations.repository import Conversations
from control_plane.database import Database, Document

INSERTED_AT_ONCE = 5_000
MESSAGES_PER_CHAT = 500


async def fill(site: Site, client: Client, count: int) -> int:
    """Put messages into the database as events would leave them; returns how many chats they are in."""
    chats = max(1, count // MESSAGES_PER_CHAT)
    documents = make_messages(client.id, count, chats, newest=datetime.now(UTC))
    newest, done, began = deque[Document](maxlen=chats), 0, time.monotonic()
    while batch := take(documents, INSERTED_AT_ONCE):
        await site.database["client_messages"].insert_many(batch, ordered=False)
        newest.extend(batch)
        done += len(batch)
        if done % (INSERTED_AT_ONCE * 20) == 0:
            say(f"  {done} of {count} messages are there after {time.monotonic() - began:.0f} s")
    # They are of each chat in turn.
    await Conversations(site.database, client.id).enlist(newest)
    return chats


async def measure_history(site: Site, few: Client, many: Client) -> Figures:
    """The list of chats, a chat, and the page after each, of a client with few messages and of one with many."""
    pages: dict[str, dict[str, str]] = {}
    for name, client in (("few", few), ("many", many)):
        conversations = Conversations(site.database, client.id)
        chats = await conversations_service.list_chats(conversations=conversations)
        chat_id = chats.chats[0].chat_id
        chat = await conversations_service.show_chat(chat_id, before=None, conversations=conversations)
        home = f"/admin/clients/{client.id}/chats"
        pages[name] = {
            "list of chats": home,
            "list, next page": f"{home}?before={chats.before}" if chats.before else home,
            "chat": f"{home}/{chat_id}",
            "chat, next page": f"{home}/{chat_id}?before={chat.before}",
        }
    figures: Figures = {}
    for page in pages["few"]:
        visits = {name: (site.admin, pages[name][page]) for name in pages}
        times = await visit_in_turn(visits)
        spreads = {name: spread(values) for name, values in times.items()}
        figures[page] = {**spreads, "ratio": spreads["many"]["p50_ms"] / spreads["few"]["p50_ms"]}
        say(f"{page}: {figures[page]}")
    return figures


class _Commands(monitoring.CommandListener):
    """Keeps the reading commands that a driver sends."""

    def __init__(self) -> None:
        self.sent: list[Document] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        """Keep it."""
        if event.command_name in ("find", "aggregate", "count"):
            self.sent.append({k: v for k, v in event.command.items() if k not in ("lsid", "$db", "$clusterTime")})

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Nothing to do."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Nothing to do."""


async def explain(uri: str, name: str, client: Client, *, counts: bool) -> list[Figures]:
    """How the database finds what the pages of chats ask for: each query with its plan's stages and what it read.

    Args:
        counts: the database counts what it reads.
    """
    commands = _Commands()
    found: list[Figures] = []
    async with AsyncMongoClient[Document](uri, tz_aware=True, event_listeners=[commands]) as connection:
        database = connection[name]
        conversations = Conversations(database, client.id)
        chats = await conversations_service.list_chats(conversations=conversations)
        await conversations_service.list_chats(conversations=conversations, before=chats.before)
        chat_id = chats.chats[0].chat_id
        chat = await conversations_service.show_chat(chat_id, before=None, conversations=conversations)
        await conversations_service.show_chat(chat_id, before=chat.before, conversations=conversations)
        for command in list(commands.sent):
            found.append(await _explain_one(database, command, counts))
            say(f"  explain {found[-1]}")
    return found


async def _explain_one(database: Database, command: Document, counts: bool) -> Figures:
    verbosity = "executionStats" if counts else "queryPlanner"
    answer = await database.command("explain", command, verbosity=verbosity)
    plan, stages, index = answer["queryPlanner"]["winningPlan"], list[str](), None
    plan = plan.get("queryPlan", plan)
    while plan:
        stages.append(plan["stage"])
        index = plan.get("indexName", index)
        plan = plan.get("inputStage") or (plan.get("inputStages") or [None])[0]
    read = answer.get("executionStats", {}).get("totalDocsExamined")
    fields = ", ".join(sorted(command.get("filter", {})))
    return {"collection": command["find"], "by": fields, "stages": stages, "index": index, "documents_read": read}


async def measure_export(site: Site, client: Client, messages: int) -> Figures:
    """The whole export of a client."""
    began, size = time.monotonic(), 0
    async with site.admin.stream("GET", f"/api/admin/clients/{client.id}/export") as answer:
        answer.raise_for_status()
        async for part in answer.aiter_raw():
            size += len(part)
    seconds = time.monotonic() - began
    say(f"export of {messages} messages: {seconds:.1f} s, {size / 1e6:.1f} MB")
    return {"messages": messages, "seconds": seconds, "megabytes": size / 1e6}
