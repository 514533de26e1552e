"""The last step of a deletion, when the runner, its program and its files are gone."""

import logging

from control_plane.accounts.api_keys import ApiKeys
from control_plane.accounts.repository import Accounts
from control_plane.audit import service as audit_service
from control_plane.audit.actions import REMOVED
from control_plane.clients.facts import facts
from control_plane.clients.repository import Clients
from control_plane.conversations.repository import Conversations
from control_plane.data_rights.repository import ClientData, Erasures
from control_plane.database import Database
from control_plane.mail.repository import Mails
from control_plane.sessions.repository import ClientSession

logger = logging.getLogger(__name__)


async def finish_deletion(client_id: str, *, database: Database) -> None:
    """Delete every document of the client, its record (and with it the port) last; safe to repeat."""
    data, erasures = ClientData(database, client_id), Erasures(database)
    # Noted when it was asked for; a record of before there were such records is made now.
    await erasures.request_client(client_id, requested_by=None, before=await data.count())
    await Conversations(database, client_id).delete_all()
    await Mails(database).delete_all(client_id)
    await Accounts(database).delete_of_client(client_id)
    await ApiKeys(database).delete_of_client(client_id)
    await ClientSession(database, client_id).delete()
    await database["runners"].delete_one({"_id": client_id})
    await erasures.drop_pending(client_id)
    await erasures.finish_client(client_id, await data.count())
    client = await Clients(database).get(client_id)
    if client is not None:
        target = {"client_id": client_id, "client_name": client.name}
        await audit_service.write_system(REMOVED, database=database, target=target, before=facts(client))
    await Clients(database).delete(client_id)
    logger.info("client was deleted", extra={"client_id": client_id})
