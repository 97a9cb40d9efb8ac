-- Topics. A deleted one keeps its row until it is purged; a new one of the same name has a new id.
CREATE TABLE topics (
    id           TEXT    NOT NULL PRIMARY KEY,
    name         TEXT    NOT NULL,
    partitions   INTEGER NOT NULL,
    config       TEXT    NOT NULL,
    group_name   TEXT    NOT NULL,
    state        TEXT    NOT NULL CHECK (state IN ('live', 'restoring')),
    epochs_above INTEGER,
    revision     INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    deleted_at   INTEGER
) STRICT;

CREATE UNIQUE INDEX topics_by_name ON topics (name) WHERE deleted_at IS NULL;
CREATE INDEX topics_by_group ON topics (group_name) WHERE deleted_at IS NULL;
