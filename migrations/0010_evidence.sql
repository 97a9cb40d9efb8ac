-- Facts found by regions, with exact ranges.
CREATE TABLE diverged_tails (
    region          TEXT    NOT NULL,
    topic           TEXT    NOT NULL,
    partition_id    INTEGER NOT NULL,
    ownership_epoch INTEGER NOT NULL,
    range_start     INTEGER NOT NULL,
    range_end       INTEGER NOT NULL,
    recorded_at     INTEGER NOT NULL,
    document        TEXT    NOT NULL,
    PRIMARY KEY (region, topic, partition_id, ownership_epoch, range_start)
) STRICT;

CREATE TABLE gaps (
    region       TEXT    NOT NULL,
    topic        TEXT    NOT NULL,
    partition_id INTEGER NOT NULL,
    range_start  INTEGER NOT NULL,
    range_end    INTEGER NOT NULL,
    recorded_at  INTEGER NOT NULL,
    reason       TEXT    NOT NULL,
    PRIMARY KEY (region, topic, partition_id, range_start)
) STRICT;
