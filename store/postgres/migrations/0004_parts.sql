-- A store may be one of several that make one store between them.
ALTER TABLE {schema}.semel_store ADD COLUMN charter bytea; -- what the parts know of each other; NULL for a store of its own

-- How far each shard's outbox was given to shards of other parts. A reader that is
-- further has read what a failover took back. The reader -1 stands for all that
-- have no row.
CREATE TABLE {schema}.semel_given (
	source   integer NOT NULL,
	reader   integer NOT NULL,
	position bigint  NOT NULL,
	PRIMARY KEY (source, reader)
) WITH (fillfactor = 50);
