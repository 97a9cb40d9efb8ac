-- Who asked for which change, when, and what came of it.
CREATE TABLE audit (
    log_index INTEGER NOT NULL,
    -- Its place among the commands of that entry.
    part      INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    actor     TEXT    NOT NULL,
    change    TEXT    NOT NULL,
    subject   TEXT    NOT NULL,
    refusal   TEXT,
    PRIMARY KEY (log_index, part)
) STRICT;
