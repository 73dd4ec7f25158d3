-- The nodes of a cluster. A node's row is renewed by the database's clock; one
-- that is over tells for a while who held a shard last.
CREATE TABLE {schema}.semel_node (
	id      text        PRIMARY KEY, -- of one run of a process
	name    text        NOT NULL,
	address text        NOT NULL,
	leaving boolean     NOT NULL,
	until   timestamptz NOT NULL     -- the end of its lease
) WITH (fillfactor = 50);

-- Who holds each shard. It decides who tries; the fence, semel_shard, decides who
-- may, and knows nothing of this.
CREATE TABLE {schema}.semel_lease (
	shard  integer PRIMARY KEY,
	holder text    NOT NULL DEFAULT '',  -- a node; its lease may be over
	clean  boolean NOT NULL DEFAULT true -- the last holder left nothing under way
) WITH (fillfactor = 50);

INSERT INTO {schema}.semel_lease (shard) SELECT shard FROM {schema}.semel_shard;
