-- The keys of Once and their outcomes. One row per key within the retention.
CREATE TABLE IF NOT EXISTS {p}once (
	khash       bytea  NOT NULL PRIMARY KEY, -- of scope and id
	claim       bytea  NOT NULL,             -- whose claim it is
	scope       text   NOT NULL,
	id          text   NOT NULL,
	fingerprint bytea  NOT NULL,             -- of the request
	status      int    NOT NULL,             -- 0 claimed (never committed so), 1 done, 2 rejected
	code        text   NOT NULL,  -- of a rejection
	detail      text   NOT NULL,
	outcome     bytea,
	claimed_at  bigint NOT NULL              -- µs since 1970, as all times here
);
CREATE INDEX IF NOT EXISTS {i}once_claimed_at ON {p}once (claimed_at);

-- One row per ordering key. Send holds it until its transaction ends.
CREATE TABLE IF NOT EXISTS {p}outbox_keys (
	okey    bytea  NOT NULL PRIMARY KEY,
	last    bigint NOT NULL, -- the number of the key's last message
	added   bigint NOT NULL, -- scratch: how many a statement adds
	used_at bigint NOT NULL
) WITH (fillfactor = 70);

-- What is committed and not delivered yet.
CREATE TABLE IF NOT EXISTS {p}outbox_messages (
	okey    bytea  NOT NULL, -- of the message's key, or random if it has none
	n       bigint NOT NULL, -- the order of its key
	id      text   NOT NULL,
	msg_key text   NOT NULL,
	topic   text   NOT NULL,
	type    text   NOT NULL,
	headers bytea  NOT NULL,
	body    bytea  NOT NULL,
	sent_at bigint NOT NULL,
	PRIMARY KEY (okey, n)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

-- Keys whose next message failed, and when it is tried again.
CREATE TABLE IF NOT EXISTS {p}outbox_stuck (
	okey     bytea  NOT NULL PRIMARY KEY,
	n        bigint NOT NULL, -- the message
	attempts bigint NOT NULL,
	due_at   bigint NOT NULL,
	unknown  int    NOT NULL, -- 1: an attempt may have been delivered
	error    text   NOT NULL
);

-- Messages that were given up.
CREATE TABLE IF NOT EXISTS {p}outbox_dead (
	dead_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	okey     bytea  NOT NULL,
	n        bigint NOT NULL,
	id       text   NOT NULL,
	msg_key  text   NOT NULL,
	topic    text   NOT NULL,
	type     text   NOT NULL,
	headers  bytea  NOT NULL,
	body     bytea  NOT NULL,
	sent_at  bigint NOT NULL,
	died_at  bigint NOT NULL,
	attempts bigint NOT NULL,
	unknown  int    NOT NULL,
	error    text   NOT NULL
);

-- Messages that were delivered, if the relay keeps them.
CREATE TABLE IF NOT EXISTS {p}outbox_delivered (
	okey         bytea  NOT NULL,
	n            bigint NOT NULL,
	id           text   NOT NULL,
	msg_key      text   NOT NULL,
	topic        text   NOT NULL,
	type         text   NOT NULL,
	headers      bytea  NOT NULL,
	body         bytea  NOT NULL,
	sent_at      bigint NOT NULL,
	delivered_at bigint NOT NULL,
	PRIMARY KEY (okey, n)
);
CREATE INDEX IF NOT EXISTS {i}outbox_delivered_at ON {p}outbox_delivered (delivered_at);

-- Who may deliver the keys between lo and hi. The token fences former owners.
CREATE TABLE IF NOT EXISTS {p}outbox_leases (
	part       int    NOT NULL PRIMARY KEY,
	lo         bytea  NOT NULL,
	hi         bytea  NOT NULL,
	owner      text   NOT NULL,
	token      bigint NOT NULL,
	turns      bigint NOT NULL,
	expires_at bigint NOT NULL
) WITH (fillfactor = 50);

-- The relays that live, by which they share the partitions.
CREATE TABLE IF NOT EXISTS {p}outbox_relays (
	owner   text   NOT NULL PRIMARY KEY,
	seen_at bigint NOT NULL
) WITH (fillfactor = 50);
