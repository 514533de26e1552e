"""Accounts in a SQLite file, so that a restarted sandbox still knows every phone and every linked device."""

import json
import os
import sqlite3
from pathlib import Path
from typing import Any

from sandbox.whatsapp_web.accounts import Account, AccountProfile, Contact, Device, Message

_TABLES = """
CREATE TABLE IF NOT EXISTS accounts (number TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS contacts (account TEXT, number TEXT, body TEXT NOT NULL, PRIMARY KEY (account, number));
CREATE TABLE IF NOT EXISTS devices (account TEXT, id TEXT, body TEXT NOT NULL, PRIMARY KEY (account, id));
CREATE TABLE IF NOT EXISTS messages (
    account TEXT, position INTEGER, body TEXT NOT NULL, PRIMARY KEY (account, position));
CREATE TABLE IF NOT EXISTS events (account TEXT, n INTEGER, body TEXT NOT NULL, PRIMARY KEY (account, n));
"""


class SqliteAccountStore:
    """One file, readable by its owner alone; each call is one transaction."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=10)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.executescript(_TABLES)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def load(self) -> dict[str, Account]:
        """Every account, by number."""
        accounts: dict[str, Account] = {}
        for number, body in self._connection.execute("SELECT number, body FROM accounts"):
            accounts[number] = Account(AccountProfile.model_validate_json(body), self)
        for number, body in self._connection.execute("SELECT account, body FROM contacts"):
            contact = Contact.model_validate_json(body)
            accounts[number].contacts[contact.number] = contact
        for number, body in self._connection.execute("SELECT account, body FROM devices"):
            device = Device.model_validate_json(body)
            accounts[number].devices[device.id] = device
        for number, body in self._connection.execute("SELECT account, body FROM messages ORDER BY account, position"):
            accounts[number].messages.append(json.loads(body))
        for number, body in self._connection.execute("SELECT account, body FROM events ORDER BY account, n"):
            accounts[number].events.append(json.loads(body))
        return accounts

    def save_profile(self, profile: AccountProfile) -> None:
        """Insert or replace."""
        self._connection.execute(
            "INSERT OR REPLACE INTO accounts VALUES (?, ?)", (profile.number, profile.model_dump_json())
        )

    def save_contact(self, account: str, contact: Contact) -> None:
        """Insert or replace."""
        self._connection.execute(
            "INSERT OR REPLACE INTO contacts VALUES (?, ?, ?)", (account, contact.number, contact.model_dump_json())
        )

    def save_device(self, account: str, device: Device) -> None:
        """Insert or replace."""
        self._connection.execute(
            "INSERT OR REPLACE INTO devices VALUES (?, ?, ?)", (account, device.id, device.model_dump_json())
        )

    def delete_device(self, account: str, device_id: str) -> None:
        """Forget a device; unknown ones are forgotten already."""
        self._connection.execute("DELETE FROM devices WHERE account = ? AND id = ?", (account, device_id))

    def save_message(self, account: str, position: int, message: Message) -> None:
        """Insert or replace the message at a position of the account's history."""
        self._connection.execute(
            "INSERT OR REPLACE INTO messages VALUES (?, ?, ?)", (account, position, json.dumps(message))
        )

    def append_event(self, account: str, event: dict[str, Any]) -> None:
        """Add an event."""
        self._connection.execute("INSERT INTO events VALUES (?, ?, ?)", (account, event["n"], json.dumps(event)))
