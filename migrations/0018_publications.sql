-- Publications: diverged tails that are copied, as they are, into topics of their own; once per tail for ever.
CREATE TABLE publications (
    -- The id of the tail.
    tail       TEXT    NOT NULL PRIMARY KEY,
    -- What was agreed on before the first record was sent; never changes.
    plan       TEXT    NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at   INTEGER,
    -- Where the records went; NULL while it is at work.
    summary    TEXT
) STRICT;
