-- The store: what it is, and how many shards it has.
CREATE TABLE {schema}.semel_store (
	id          smallint PRIMARY KEY, -- 1: there is one row
	incarnation uuid     NOT NULL,
	shards      integer  NOT NULL
);

-- One row a shard: its fence. Every unit updates it. No column of it is in an
-- index and the pages are kept nearly empty, so that a new version of the row
-- fits beside the old one (HOT), which is cleaned away in passing.
CREATE TABLE {schema}.semel_shard (
	shard   integer PRIMARY KEY,
	epoch   bigint  NOT NULL DEFAULT 0,
	seq     bigint  NOT NULL DEFAULT 0,     -- the last unit
	session uuid,                           -- drawn by each session: epochs may be given again after a failover
	former  uuid,                           -- the session before it
	owner   text    NOT NULL DEFAULT '',    -- for people
	held    boolean NOT NULL DEFAULT false, -- no session has closed in order since the last was opened
	clean   boolean NOT NULL DEFAULT true,  -- not held, as the last session found it
	era     bigint  NOT NULL DEFAULT 0,     -- how often a person accepted a loss
	lost    bigint  NOT NULL DEFAULT 0      -- above seq: acknowledged up to there, and gone
) WITH (fillfactor = 10);

-- What each shard needs no more, apart from its fence, so that forgetting does
-- not wait for commits and they do not wait for it.
CREATE TABLE {schema}.semel_retention (
	shard integer PRIMARY KEY,
	below bigint  NOT NULL DEFAULT 0 -- dedup generations below it are gone for the shard
);

-- The rows of all tables but the dedup log, whose generations are a table each,
-- semel_dedup_<generation>, made when they are needed and dropped as a whole. A
-- row that a unit deletes stays as a mark, with gone, until it is swept: a
-- statement changes each table once only, and there it upserts.
CREATE TABLE {schema}.semel_row (
	shard integer  NOT NULL,
	tbl   smallint NOT NULL,
	key   bytea    NOT NULL,
	value bytea,
	gone  boolean  NOT NULL,
	PRIMARY KEY (shard, tbl, key)
) WITH (fillfactor = 85);

-- On gone, and not on the value being NULL: a column that an index mentions must
-- not change if an update is to leave the indexes alone.
CREATE INDEX semel_row_gone ON {schema}.semel_row (shard) WHERE gone;
