-- Gateways and their virtual nodes: ids and ports that clients keep, so a row is never taken back.
CREATE TABLE gateways (
    name          TEXT    NOT NULL PRIMARY KEY,
    host          TEXT    NOT NULL,
    port          INTEGER NOT NULL,
    registered_at INTEGER NOT NULL
) STRICT;

CREATE TABLE virtual_nodes (
    id      INTEGER NOT NULL PRIMARY KEY,
    gateway TEXT    NOT NULL REFERENCES gateways (name),
    region  TEXT    NOT NULL REFERENCES regions (name),
    slot    INTEGER NOT NULL,
    port    INTEGER NOT NULL,
    UNIQUE (gateway, region, slot)
) STRICT;
