-- A table that is analyzed while it is tiny is read from end to end by plans that
-- outlive that.
ALTER TABLE {schema}.semel_row SET (autovacuum_analyze_threshold = 10000);
