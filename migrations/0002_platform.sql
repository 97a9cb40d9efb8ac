-- The one platform this council governs, its counters that never go back, and its settings.
CREATE TABLE platform (
    only_row   INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 0),
    cluster_id TEXT    NOT NULL,
    formed_at  INTEGER NOT NULL
) STRICT;

CREATE TABLE counters (
    name TEXT    NOT NULL PRIMARY KEY,
    last INTEGER NOT NULL
) STRICT;

CREATE TABLE settings (
    name       TEXT    NOT NULL PRIMARY KEY,
    value      TEXT    NOT NULL,
    revision   INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    changed_by TEXT    NOT NULL
) STRICT;
