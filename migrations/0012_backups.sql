-- Backups: what is where. The objects' own manifests are the truth; this is the register.
CREATE TABLE backups (
    id         TEXT    NOT NULL PRIMARY KEY,
    number     INTEGER NOT NULL UNIQUE,
    group_name TEXT    NOT NULL,
    repository TEXT    NOT NULL,
    schedule   TEXT,
    state      TEXT    NOT NULL CHECK (state IN ('running', 'completed', 'failed')),
    started_at INTEGER NOT NULL,
    started_by TEXT    NOT NULL,
    ended_at   INTEGER,
    summary    TEXT,
    failure    TEXT
) STRICT;

CREATE UNIQUE INDEX backups_in_progress ON backups (group_name) WHERE ended_at IS NULL;
CREATE INDEX backups_by_group ON backups (group_name, number);
