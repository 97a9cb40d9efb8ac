-- Restores: which backup became which topics.
CREATE TABLE restores (
    id         TEXT    NOT NULL PRIMARY KEY,
    number     INTEGER NOT NULL UNIQUE,
    backup     TEXT    NOT NULL,
    group_name TEXT    NOT NULL,
    topics     TEXT    NOT NULL,
    state      TEXT    NOT NULL CHECK (state IN ('running', 'completed', 'failed')),
    started_at INTEGER NOT NULL,
    started_by TEXT    NOT NULL,
    ended_at   INTEGER,
    summary    TEXT,
    failure    TEXT
) STRICT;
