-- How far the council's log is applied in this file; moves in the same transaction as the effects.
CREATE TABLE applied (
    only_row   INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 0),
    log_index  INTEGER NOT NULL,
    -- The log's own words for its position and membership; never read here.
    token      BLOB    NOT NULL,
    -- The newest entry that changed what regions and gateways have to know.
    view_index INTEGER NOT NULL
) STRICT;

INSERT INTO applied (only_row, log_index, token, view_index) VALUES (0, 0, x'', 0);
