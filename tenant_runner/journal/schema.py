"""The journal's tables, one script for each version of them; a file of an older version is taken over."""

_VERSION_1 = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE messages (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    message_id TEXT NOT NULL UNIQUE,
    chat_id TEXT NOT NULL,
    author TEXT NOT NULL,
    kind TEXT NOT NULL,
    text TEXT NOT NULL,
    sent_at REAL NOT NULL,
    recorded_at REAL NOT NULL,
    outcome TEXT,
    pending INTEGER NOT NULL DEFAULT 0,
    turn_id INTEGER,
    event_sequence INTEGER
);
CREATE INDEX messages_of_chat ON messages (chat_id, sequence);
CREATE INDEX messages_of_turn ON messages (turn_id) WHERE turn_id IS NOT NULL;
CREATE INDEX messages_pending ON messages (chat_id) WHERE pending = 1;
CREATE INDEX messages_by_age ON messages (recorded_at);

CREATE TABLE turns (
    turn_id INTEGER PRIMARY KEY AUTOINCREMENT,
    chat_id TEXT NOT NULL,
    opened_at REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    failing_since REAL,
    reply TEXT,
    replied_at REAL,
    fallback INTEGER NOT NULL DEFAULT 0,
    closed_at REAL,
    outcome TEXT
);
CREATE UNIQUE INDEX one_open_turn_per_chat ON turns (chat_id) WHERE closed_at IS NULL;

CREATE TABLE outbound (
    message_id TEXT PRIMARY KEY,
    chat_id TEXT NOT NULL,
    author TEXT NOT NULL,
    text TEXT NOT NULL,
    turn_id INTEGER UNIQUE,
    request_key TEXT UNIQUE,
    state TEXT NOT NULL,
    ack TEXT,
    created_at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX outbound_unfinished ON outbound (created_at) WHERE state IN ('prepared', 'sending');

CREATE TABLE chats (
    chat_id TEXT PRIMARY KEY,
    suspended INTEGER,
    suspended_at REAL,
    waiting TEXT,
    changed_at REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE threads (
    chat_id TEXT PRIMARY KEY,
    conversation_id TEXT,
    key_fingerprint TEXT NOT NULL,
    generation INTEGER NOT NULL,
    synced_through INTEGER NOT NULL,
    last_activity_at REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE remote_conversations (
    conversation_id TEXT PRIMARY KEY,
    chat_id TEXT NOT NULL,
    key_fingerprint TEXT NOT NULL,
    response_ids TEXT NOT NULL,
    last_activity_at REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE outbox (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    timestamp REAL NOT NULL,
    payload TEXT NOT NULL
);
"""

# `undecrypted`: 1 while the real form of a message is awaited, 2 once that was given up.
# `media_jobs` lists files that are wanted; their bytes are never stored.
# `sends` has the times of automatic messages, for pacing: it knows nothing of whom they went to.
_VERSION_2 = """
ALTER TABLE messages ADD COLUMN quoted_id TEXT;
ALTER TABLE messages ADD COLUMN undecrypted INTEGER NOT NULL DEFAULT 0;
CREATE INDEX messages_undecrypted ON messages (recorded_at) WHERE undecrypted = 1;

ALTER TABLE turns ADD COLUMN notice TEXT;
UPDATE turns SET notice = 'fallback' WHERE fallback = 1;
ALTER TABLE turns DROP COLUMN fallback;

ALTER TABLE chats ADD COLUMN taken_over_at REAL;
ALTER TABLE chats ADD COLUMN taken_over_until REAL;
ALTER TABLE chats ADD COLUMN opted_out_at REAL;
ALTER TABLE chats ADD COLUMN opt_out_confirmed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE chats ADD COLUMN apologised_at REAL;
ALTER TABLE chats ADD COLUMN machine_like INTEGER NOT NULL DEFAULT 0;
CREATE INDEX chats_taken_over ON chats (taken_over_until) WHERE taken_over_until IS NOT NULL;

DROP INDEX outbound_unfinished;
ALTER TABLE outbound RENAME TO outbound_of_version_1;
CREATE TABLE outbound (
    message_id TEXT PRIMARY KEY,
    chat_id TEXT NOT NULL,
    author TEXT NOT NULL,
    text TEXT NOT NULL,
    turn_id INTEGER,
    part INTEGER NOT NULL DEFAULT 0,
    request_key TEXT UNIQUE,
    state TEXT NOT NULL,
    ack TEXT,
    slot_at REAL,
    created_at REAL NOT NULL,
    UNIQUE (turn_id, part)
) WITHOUT ROWID;
INSERT INTO outbound (message_id, chat_id, author, text, turn_id, request_key, state, ack, created_at)
    SELECT message_id, chat_id, author, text, turn_id, request_key, state, ack, created_at FROM outbound_of_version_1;
DROP TABLE outbound_of_version_1;
CREATE INDEX outbound_unfinished ON outbound (created_at) WHERE state IN ('prepared', 'sending');

CREATE TABLE reactions (
    message_id TEXT NOT NULL,
    author TEXT NOT NULL,
    emoji TEXT NOT NULL,
    PRIMARY KEY (message_id, author)
) WITHOUT ROWID;

CREATE TABLE media_jobs (
    message_id TEXT PRIMARY KEY,
    chat_id TEXT NOT NULL,
    sort TEXT NOT NULL,
    mimetype TEXT,
    created_at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX media_jobs_of_chat ON media_jobs (chat_id);

CREATE TABLE sends (at REAL NOT NULL);
CREATE INDEX sends_by_time ON sends (at);
"""

# `erased` has the moments at which chats were erased, each under a salted hash: whose they were is not kept.
_VERSION_3 = """
CREATE TABLE erased (chat_hash TEXT PRIMARY KEY, before REAL NOT NULL) WITHOUT ROWID;
"""

MIGRATIONS = (_VERSION_1, _VERSION_2, _VERSION_3)
