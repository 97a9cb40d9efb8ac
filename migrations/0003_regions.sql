-- Regions and council nodes. Every start from an empty disk has a row in `incarnations` for ever.
CREATE TABLE incarnations (
    number   INTEGER NOT NULL PRIMARY KEY,
    holder   TEXT    NOT NULL,
    node_id  INTEGER NOT NULL UNIQUE,
    disk_id  TEXT    NOT NULL UNIQUE,
    given_at INTEGER NOT NULL
) STRICT;

CREATE TABLE regions (
    name         TEXT    NOT NULL PRIMARY KEY,
    region_index INTEGER NOT NULL UNIQUE,
    incarnation  INTEGER NOT NULL UNIQUE REFERENCES incarnations (number),
    clients      TEXT    NOT NULL,
    gateways     TEXT    NOT NULL,
    internal     TEXT    NOT NULL,
    council      TEXT    NOT NULL,
    rest         TEXT    NOT NULL
) STRICT;

-- A council node that belongs to no region and only votes.
CREATE TABLE witnesses (
    name        TEXT    NOT NULL PRIMARY KEY,
    incarnation INTEGER NOT NULL UNIQUE REFERENCES incarnations (number),
    council     TEXT    NOT NULL
) STRICT;
