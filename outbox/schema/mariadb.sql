-- The keys of Once and their outcomes. One row per key within the retention.
CREATE TABLE IF NOT EXISTS {p}once (
	khash       binary(32) NOT NULL PRIMARY KEY, -- of scope and id
	claim       binary(16) NOT NULL,             -- whose claim it is
	scope       varchar(512) NOT NULL,
	id          varchar(512) NOT NULL,
	fingerprint binary(32) NOT NULL,             -- of the request
	status      int    NOT NULL,             -- 0 claimed (never committed so), 1 done, 2 rejected
	code        varchar(200) NOT NULL,  -- of a rejection
	detail      text NOT NULL,
	outcome     longblob,
	claimed_at  bigint NOT NULL,             -- µs since 1970, as all times here
	KEY {i}once_claimed_at (claimed_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- One row per ordering key. Send holds it until its transaction ends.
CREATE TABLE IF NOT EXISTS {p}outbox_keys (
	okey    binary(16) NOT NULL PRIMARY KEY,
	last    bigint NOT NULL, -- the number of the key's last message
	added   bigint NOT NULL, -- scratch: how many a statement adds
	used_at bigint NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- What is committed and not delivered yet.
CREATE TABLE IF NOT EXISTS {p}outbox_messages (
	okey    binary(16) NOT NULL, -- of the message's key, or random if it has none
	n       bigint NOT NULL, -- the order of its key
	id      varchar(512) NOT NULL,
	msg_key varchar(512) NOT NULL,
	topic   varchar(512) NOT NULL,
	type    varchar(512) NOT NULL,
	headers longblob NOT NULL,
	body    longblob NOT NULL,
	sent_at bigint NOT NULL,
	PRIMARY KEY (okey, n)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Keys whose next message failed, and when it is tried again.
CREATE TABLE IF NOT EXISTS {p}outbox_stuck (
	okey     binary(16) NOT NULL PRIMARY KEY,
	n        bigint NOT NULL, -- the message
	attempts bigint NOT NULL,
	due_at   bigint NOT NULL,
	unknown  int    NOT NULL, -- 1: an attempt may have been delivered
	error    text NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Messages that were given up.
CREATE TABLE IF NOT EXISTS {p}outbox_dead (
	dead_id  bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
	okey     binary(16) NOT NULL,
	n        bigint NOT NULL,
	id       varchar(512) NOT NULL,
	msg_key  varchar(512) NOT NULL,
	topic    varchar(512) NOT NULL,
	type     varchar(512) NOT NULL,
	headers  longblob NOT NULL,
	body     longblob NOT NULL,
	sent_at  bigint NOT NULL,
	died_at  bigint NOT NULL,
	attempts bigint NOT NULL,
	unknown  int    NOT NULL,
	error    text NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Messages that were delivered, if the relay keeps them.
CREATE TABLE IF NOT EXISTS {p}outbox_delivered (
	okey         binary(16) NOT NULL,
	n            bigint NOT NULL,
	id           varchar(512) NOT NULL,
	msg_key      varchar(512) NOT NULL,
	topic        varchar(512) NOT NULL,
	type         varchar(512) NOT NULL,
	headers      longblob NOT NULL,
	body         longblob NOT NULL,
	sent_at      bigint NOT NULL,
	delivered_at bigint NOT NULL,
	PRIMARY KEY (okey, n),
	KEY {i}outbox_delivered_at (delivered_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Who may deliver the keys between lo and hi. The token fences former owners.
CREATE TABLE IF NOT EXISTS {p}outbox_leases (
	part       int    NOT NULL PRIMARY KEY,
	lo         varbinary(17) NOT NULL,
	hi         varbinary(17) NOT NULL,
	owner      varchar(200) NOT NULL,
	token      bigint NOT NULL,
	turns      bigint NOT NULL,
	expires_at bigint NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The relays that live, by which they share the partitions.
CREATE TABLE IF NOT EXISTS {p}outbox_relays (
	owner   varchar(200) NOT NULL PRIMARY KEY,
	seen_at bigint NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
