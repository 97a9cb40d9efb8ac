-- Who asked for which change, when, and what came of it.
CREATE TABLE audit (
    -- Rises by one with every command: the order of pages.
    number    INTEGER NOT NULL PRIMARY KEY,
    log_index INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    actor     TEXT    NOT NULL,
    change    TEXT    NOT NULL,
    subject   TEXT    NOT NULL,
    refusal   TEXT
) STRICT;

CREATE INDEX audit_by_age ON audit (log_index);
