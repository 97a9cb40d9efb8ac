-- Protection groups: what the user asked for (policy), who owns them now, and where gateways send their clients.
CREATE TABLE protection_groups (
    name              TEXT    NOT NULL PRIMARY KEY,
    policy            TEXT    NOT NULL,
    home              TEXT    NOT NULL REFERENCES regions (name),
    standbys          TEXT    NOT NULL,
    -- The policy's coverage and the group's canary topic.
    coverage          TEXT    NOT NULL,
    revision          INTEGER NOT NULL,
    owner             TEXT    NOT NULL REFERENCES regions (name),
    owner_incarnation INTEGER NOT NULL,
    ownership_epoch   INTEGER NOT NULL,
    state             TEXT    NOT NULL CHECK (state IN ('held', 'revoked')),
    openings          TEXT    NOT NULL,
    route_owner       TEXT    NOT NULL REFERENCES regions (name),
    -- The grant the route was made for; gateways may use it only while that grant stands.
    route_grant       INTEGER NOT NULL,
    route_epoch       INTEGER NOT NULL,
    created_at        INTEGER NOT NULL,
    changed_at        INTEGER NOT NULL
) STRICT;

-- Every grant there ever was. Kept when its group is deleted: epochs never go back.
CREATE TABLE grants (
    group_name      TEXT    NOT NULL,
    ownership_epoch INTEGER NOT NULL,
    owner           TEXT    NOT NULL,
    granted_at      INTEGER NOT NULL,
    reason          TEXT    NOT NULL,
    run             TEXT,
    openings        TEXT    NOT NULL,
    PRIMARY KEY (group_name, ownership_epoch)
) STRICT;
