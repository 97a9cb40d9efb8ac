-- What happens by the clock, and what came of each time it was due.
CREATE TABLE schedules (
    name       TEXT    NOT NULL PRIMARY KEY,
    document   TEXT    NOT NULL,
    enabled    INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    revision   INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    changed_by TEXT    NOT NULL
) STRICT;

CREATE TABLE firings (
    schedule   TEXT    NOT NULL,
    due        INTEGER NOT NULL,
    state      TEXT    NOT NULL CHECK (state IN ('claimed', 'succeeded', 'failed', 'missed', 'abandoned')),
    claimant   TEXT,
    claimed_at INTEGER,
    expires    INTEGER,
    ended_at   INTEGER,
    -- What it started, or why it did not.
    detail     TEXT,
    PRIMARY KEY (schedule, due)
) STRICT;
