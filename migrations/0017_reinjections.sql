-- Re-injections: what of a diverged tail was written to the new lineage again, once per tail for ever.
CREATE TABLE reinjections (
    -- The id of the tail.
    tail       TEXT    NOT NULL PRIMARY KEY,
    -- What was agreed on before the first record was sent; never changes.
    plan       TEXT    NOT NULL,
    state      TEXT    NOT NULL CHECK (state IN ('running', 'completed', 'failed')),
    started_at INTEGER NOT NULL,
    started_by TEXT    NOT NULL,
    ended_at   INTEGER,
    summary    TEXT,
    failure    TEXT
) STRICT;
