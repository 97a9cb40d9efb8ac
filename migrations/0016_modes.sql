-- What acknowledgements of a protection group promise across regions, and the RPO ledger: every interval in which a
-- crash of the owner region would have lost writes. A group has one open exposure unless it is in SYNC.
ALTER TABLE protection_groups ADD COLUMN mode TEXT NOT NULL DEFAULT '{"phase":"async","epoch":0,"since":0}';

CREATE TABLE exposures (
    id         INTEGER NOT NULL PRIMARY KEY,
    group_name TEXT    NOT NULL,
    mode_epoch INTEGER NOT NULL,
    opened_at  INTEGER NOT NULL,
    closed_at  INTEGER,
    reason     TEXT    NOT NULL,
    -- The worst of it, as far as was seen.
    records    INTEGER NOT NULL,
    bytes      INTEGER NOT NULL,
    millis     INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX exposures_open ON exposures (group_name) WHERE closed_at IS NULL;
CREATE INDEX exposures_by_group ON exposures (group_name, id);

INSERT INTO exposures (group_name, mode_epoch, opened_at, reason, records, bytes, millis)
SELECT name, 0, created_at, 'created', 0, 0, 0 FROM protection_groups ORDER BY name;
