-- Drills and their scorecards.
CREATE TABLE drills (
    id         TEXT    NOT NULL PRIMARY KEY,
    number     INTEGER NOT NULL UNIQUE,
    kind       TEXT    NOT NULL,
    group_name TEXT    NOT NULL,
    schedule   TEXT,
    run        TEXT,
    started_at INTEGER NOT NULL,
    started_by TEXT    NOT NULL,
    ended_at   INTEGER,
    verdict    TEXT,
    scorecard  TEXT
) STRICT;

CREATE UNIQUE INDEX drills_in_progress ON drills (group_name) WHERE ended_at IS NULL;
CREATE INDEX drills_by_group ON drills (group_name, number);
