-- Plans, their executions, what happened in them, and what they cost.
CREATE TABLE plans (
    -- Rises by one with every plan: the order of pages.
    number     INTEGER NOT NULL PRIMARY KEY,
    id         TEXT    NOT NULL UNIQUE,
    group_name TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    generation INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    document   TEXT    NOT NULL
) STRICT;

CREATE INDEX plans_by_group ON plans (group_name, generation);

CREATE TABLE runs (
    id         TEXT    NOT NULL PRIMARY KEY,
    -- Rises by one with every run: the order of pages.
    number     INTEGER NOT NULL UNIQUE,
    plan       TEXT    NOT NULL REFERENCES plans (id),
    group_name TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    state      TEXT    NOT NULL,
    events     INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    started_by TEXT    NOT NULL,
    ended_at   INTEGER
) STRICT;

CREATE UNIQUE INDEX runs_in_progress ON runs (group_name) WHERE ended_at IS NULL;
CREATE INDEX runs_by_group ON runs (group_name, number);

CREATE TABLE run_events (
    run       TEXT    NOT NULL REFERENCES runs (id),
    seq       INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    actor     TEXT    NOT NULL,
    document  TEXT    NOT NULL,
    PRIMARY KEY (run, seq)
) STRICT;

CREATE TABLE reports (
    run       TEXT    NOT NULL PRIMARY KEY REFERENCES runs (id),
    final     INTEGER NOT NULL CHECK (final IN (0, 1)),
    revision  INTEGER NOT NULL,
    stored_at INTEGER NOT NULL,
    document  TEXT    NOT NULL
) STRICT;
