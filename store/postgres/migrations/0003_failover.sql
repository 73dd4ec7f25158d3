-- What a failover asks for. A standby that takes over may lack the last claims
-- and renewals, and its timeline is another one than the primary's.
ALTER TABLE {schema}.semel_store
	ADD COLUMN timeline text        NOT NULL DEFAULT '',   -- of the server that leases were kept on last
	ADD COLUMN settled  timestamptz NOT NULL DEFAULT now(); -- no shard is claimed before

-- Which claim of the shard it was, so that giving up an earlier one, when that
-- arrives late, does not give up a later one.
ALTER TABLE {schema}.semel_lease ADD COLUMN term bigint NOT NULL DEFAULT 0;
