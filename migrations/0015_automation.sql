-- Groups nothing is done to automatically for a while.
CREATE TABLE automation_blocks (
    group_name TEXT    NOT NULL PRIMARY KEY,
    -- NULL: until somebody takes it away.
    until      INTEGER,
    reason     TEXT    NOT NULL,
    blocked_at INTEGER NOT NULL,
    blocked_by TEXT    NOT NULL
) STRICT;
