"""Guessing is slowed down: the collection `login_failures`, which every web process shares.

Counted are wrong attempts at an account from one address, and, from addresses where nobody logged in to it lately,
those at the account from anywhere. So a stranger closes an account to strangers, for a while; its holder finds it open
where they logged in before.
"""

from datetime import UTC, datetime, timedelta

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from control_plane.accounts.models import Account
from control_plane.database import Database
from control_plane.security import hash_token

FREE_FROM_ONE_ADDRESS = 5
FREE_FROM_ANYWHERE = 20
FIRST_WAIT_S = 60
LONGEST_WAIT_S = 15 * 60
# Without a further attempt the count is forgotten.
FORGOTTEN_AFTER = timedelta(hours=24)


class LoginFailures:
    """Wrong attempts by subject; stored as hashes, for people type passwords where the name belongs."""

    def __init__(self, database: Database) -> None:
        self._failures = database["login_failures"]

    async def take_attempt(self, name: str, address: str, account: Account | None) -> int:
        """Count an attempt before its password is looked at, so that many at once are counted too.

        Args:
            name: as typed, in lower case; an unknown one is counted like any other.
            account: of that name, if there is one.

        Returns:
            0 if it may go on, or the seconds to wait.
        """
        now = datetime.now(UTC)
        wait_s = await self._take(hash_token(f"{name}|{address}"), FREE_FROM_ONE_ADDRESS, now)
        if wait_s == 0 and (account is None or address not in account.known_addresses):
            wait_s = await self._take(hash_token(name), FREE_FROM_ANYWHERE, now)
        return wait_s

    async def forget(self, name: str, address: str) -> None:
        """The attempt was right."""
        await self._failures.delete_many({"_id": {"$in": [hash_token(f"{name}|{address}"), hash_token(name)]}})

    async def _take(self, subject: str, free: int, now: datetime) -> int:
        count = {"$add": [{"$ifNull": ["$failures", 0]}, 1]}
        # The wait doubles with each wrong attempt beyond the free ones.
        doublings = {"$min": [{"$subtract": ["$failures", free]}, 10]}
        wait_ms = {"$min": [LONGEST_WAIT_S * 1000, {"$multiply": [FIRST_WAIT_S * 1000, {"$pow": [2, doublings]}]}]}
        locked = {"$cond": [{"$gte": ["$failures", free]}, {"$add": [now, wait_ms]}, None]}
        try:
            await self._failures.find_one_and_update(
                {"_id": subject, "$or": [{"locked_until": None}, {"locked_until": {"$lte": now}}]},
                [
                    {"$set": {"failures": count, "expires_at": now + FORGOTTEN_AFTER}},
                    {"$set": {"locked_until": locked}},
                ],
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        except DuplicateKeyError:
            # It is there, and locked.
            found = await self._failures.find_one({"_id": subject})
            if found and found["locked_until"]:
                until: datetime = found["locked_until"]
                return max(1, round((until - now).total_seconds()))
            # Two first attempts met: both are counted.
            return await self._take(subject, free, now)
        return 0
