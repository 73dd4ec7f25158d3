-- The keys of Once and their outcomes. One row per key within the retention.
CREATE TABLE IF NOT EXISTS {p}once (
	khash       BLOB  NOT NULL PRIMARY KEY, -- of scope and id
	claim       BLOB  NOT NULL,             -- whose claim it is
	scope       TEXT   NOT NULL,
	id          TEXT   NOT NULL,
	fingerprint BLOB  NOT NULL,             -- of the request
	status      INTEGER    NOT NULL,             -- 0 claimed (never committed so), 1 done, 2 rejected
	code        TEXT   NOT NULL,  -- of a rejection
	detail      TEXT   NOT NULL,
	outcome     BLOB,
	claimed_at  INTEGER NOT NULL              -- µs since 1970, as all times here
);
CREATE INDEX IF NOT EXISTS {i}once_claimed_at ON {p}once (claimed_at);

-- One row per ordering key. Send holds it until its transaction ends.
CREATE TABLE IF NOT EXISTS {p}outbox_keys (
	okey    BLOB  NOT NULL PRIMARY KEY,
	last    INTEGER NOT NULL, -- the number of the key's last message
	added   INTEGER NOT NULL, -- scratch: how many a statement adds
	used_at INTEGER NOT NULL
) WITHOUT ROWID;

-- What is committed and not delivered yet.
CREATE TABLE IF NOT EXISTS {p}outbox_messages (
	okey    BLOB  NOT NULL, -- of the message's key, or random if it has none
	n       INTEGER NOT NULL, -- the order of its key
	id      TEXT   NOT NULL,
	msg_key TEXT   NOT NULL,
	topic   TEXT   NOT NULL,
	type    TEXT   NOT NULL,
	headers BLOB  NOT NULL,
	body    BLOB  NOT NULL,
	sent_at INTEGER NOT NULL,
	PRIMARY KEY (okey, n)
);

-- Keys whose next message failed, and when it is tried again.
CREATE TABLE IF NOT EXISTS {p}outbox_stuck (
	okey     BLOB  NOT NULL PRIMARY KEY,
	n        INTEGER NOT NULL, -- the message
	attempts INTEGER NOT NULL,
	due_at   INTEGER NOT NULL,
	unknown  INTEGER    NOT NULL, -- 1: an attempt may have been delivered
	error    TEXT   NOT NULL
) WITHOUT ROWID;

-- Messages that were given up.
CREATE TABLE IF NOT EXISTS {p}outbox_dead (
	dead_id  INTEGER PRIMARY KEY AUTOINCREMENT,
	okey     BLOB  NOT NULL,
	n        INTEGER NOT NULL,
	id       TEXT   NOT NULL,
	msg_key  TEXT   NOT NULL,
	topic    TEXT   NOT NULL,
	type     TEXT   NOT NULL,
	headers  BLOB  NOT NULL,
	body     BLOB  NOT NULL,
	sent_at  INTEGER NOT NULL,
	died_at  INTEGER NOT NULL,
	attempts INTEGER NOT NULL,
	unknown  INTEGER    NOT NULL,
	error    TEXT   NOT NULL
);

-- Messages that were delivered, if the relay keeps them.
CREATE TABLE IF NOT EXISTS {p}outbox_delivered (
	okey         BLOB  NOT NULL,
	n            INTEGER NOT NULL,
	id           TEXT   NOT NULL,
	msg_key      TEXT   NOT NULL,
	topic        TEXT   NOT NULL,
	type         TEXT   NOT NULL,
	headers      BLOB  NOT NULL,
	body         BLOB  NOT NULL,
	sent_at      INTEGER NOT NULL,
	delivered_at INTEGER NOT NULL,
	PRIMARY KEY (okey, n)
);
CREATE INDEX IF NOT EXISTS {i}outbox_delivered_at ON {p}outbox_delivered (delivered_at);

-- Who may deliver the keys between lo and hi. The token fences former owners.
CREATE TABLE IF NOT EXISTS {p}outbox_leases (
	part       INTEGER    NOT NULL PRIMARY KEY,
	lo         BLOB  NOT NULL,
	hi         BLOB  NOT NULL,
	owner      TEXT   NOT NULL,
	token      INTEGER NOT NULL,
	turns      INTEGER NOT NULL,
	expires_at INTEGER NOT NULL
) WITHOUT ROWID;

-- The relays that live, by which they share the partitions.
CREATE TABLE IF NOT EXISTS {p}outbox_relays (
	owner   TEXT   NOT NULL PRIMARY KEY,
	seen_at INTEGER NOT NULL
) WITHOUT ROWID;
