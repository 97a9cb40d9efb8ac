-- A catalog of the first eight migrations in which a platform was formed. Never changes.
PRAGMA journal_mode = WAL;
BEGIN TRANSACTION;
CREATE TABLE _sqlx_migrations (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    success BOOLEAN NOT NULL,
    checksum BLOB NOT NULL,
    execution_time BIGINT NOT NULL
);
INSERT INTO "_sqlx_migrations" VALUES(1,'0001_applied','2026-01-01 00:00:00',1,X'B67B5A05F6931DFA6542E7CF484BBD7ACE76B251E33791EB1C6E609EBFDBAC1119ADCDCB5279C41C98516F25ADBB142A',0);
INSERT INTO "_sqlx_migrations" VALUES(2,'0002_platform','2026-01-01 00:00:00',1,X'E966511A80C25D95F00D1B71CA8FCC7131C89DFB30950D6095F23D9C487107F6537080311FE7F8809211536B0A01A5B4',0);
INSERT INTO "_sqlx_migrations" VALUES(3,'0003_regions','2026-01-01 00:00:00',1,X'EE848529CB695BBB056573E3A673CACEFFC7E453FD1CC7B54A27954D5E514CED1A0E1AFAA6A51FCF7DC0D003CF0EB18A',0);
INSERT INTO "_sqlx_migrations" VALUES(4,'0004_gateways','2026-01-01 00:00:00',1,X'D9D145A63AAAD2EB400862EC8395B5491236C1ABAEB24CABC1AF9F0F431A9AA15A7AD35568A454132E03103A677BEF5C',0);
INSERT INTO "_sqlx_migrations" VALUES(5,'0005_protection_groups','2026-01-01 00:00:00',1,X'334DB7624262851936CDDFFDA78143A5BCFDDEAED2BDF19C65FCE48DB01EA6384EE1FDD98B3A1BECEF97A2BEEAF967A8',0);
INSERT INTO "_sqlx_migrations" VALUES(6,'0006_topics','2026-01-01 00:00:00',1,X'F490A9E80A6A01C650A6DA54A6850F4CEEAF164435699FC0A2FF8798C42611D119074346FA4D68CAA5C12CAB59083EC5',0);
INSERT INTO "_sqlx_migrations" VALUES(7,'0007_effects','2026-01-01 00:00:00',1,X'B7E833EA6FF2817A1036A9D31027A0D0AC6F58A2856E3E568D8A551744F3FCB398D361D4F629F77525BBF30AF64F6F91',0);
INSERT INTO "_sqlx_migrations" VALUES(8,'0008_audit','2026-01-01 00:00:00',1,X'720777D21AB0798FC0344A1BDD49D628631745BBE7ED9D30F166E5890EB606D14297FDB31EC71508196029B6B458A46F',0);
CREATE TABLE applied (
    only_row   INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 0),
    log_index  INTEGER NOT NULL,
    -- The log's own words for its position and membership; never read here.
    token      BLOB    NOT NULL,
    -- The newest entry that changed what regions and gateways have to know.
    view_index INTEGER NOT NULL
) STRICT;
INSERT INTO "applied" VALUES(0,1,X'746F6B656E2031',1);
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
INSERT INTO "audit" VALUES(1,1,1000,'tester','form_platform','farshore',NULL);
CREATE TABLE counters (
    name TEXT    NOT NULL PRIMARY KEY,
    last INTEGER NOT NULL
) STRICT;
INSERT INTO "counters" VALUES('incarnation',3);
INSERT INTO "counters" VALUES('group revision',1);
INSERT INTO "counters" VALUES('route epoch',1);
CREATE TABLE effects (
    run       TEXT    NOT NULL,
    step      TEXT    NOT NULL,
    effect    TEXT    NOT NULL,
    answer    TEXT    NOT NULL,
    log_index INTEGER NOT NULL,
    PRIMARY KEY (run, step, effect)
) STRICT;
CREATE TABLE gateways (
    name          TEXT    NOT NULL PRIMARY KEY,
    host          TEXT    NOT NULL,
    port          INTEGER NOT NULL,
    registered_at INTEGER NOT NULL
) STRICT;
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
INSERT INTO "grants" VALUES('default',1,'r1',1000,'created',NULL,'[]');
CREATE TABLE incarnations (
    number   INTEGER NOT NULL PRIMARY KEY,
    holder   TEXT    NOT NULL,
    node_id  INTEGER NOT NULL UNIQUE,
    disk_id  TEXT    NOT NULL UNIQUE,
    given_at INTEGER NOT NULL
) STRICT;
INSERT INTO "incarnations" VALUES(1,'r1',1,'disk-r1',1000);
INSERT INTO "incarnations" VALUES(2,'r2',65538,'disk-r2',1000);
INSERT INTO "incarnations" VALUES(3,'witness',4294901763,'disk-witness',1000);
CREATE TABLE platform (
    only_row   INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 0),
    cluster_id TEXT    NOT NULL,
    formed_at  INTEGER NOT NULL
) STRICT;
INSERT INTO "platform" VALUES(0,'farshore',1000);
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
INSERT INTO "protection_groups" VALUES('default','{"name":"default","home":"r1","standbys":["r2"],"coverage":{"topics":["any"],"consumer_groups":["any"]},"mode":"async","rpo_ms":5000,"rto_ms":10000,"automatic_failover":true,"priority":100,"depends_on":[],"fencing":"lease","block_period_ms":3600000,"automatic_actions_per_day_max":3}','r1','["r2"]','{"topics":["any",{"exact":"__farshore_canary.default"}],"consumer_groups":["any"]}',1,'r1',1,1,'held','[]','r1',1,1,1000,1000);
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
INSERT INTO "regions" VALUES('r1',0,1,'127.0.0.1:19092','127.0.0.1:19093','127.0.0.1:19094','127.0.0.1:19095','127.0.0.1:19096');
INSERT INTO "regions" VALUES('r2',1,2,'127.0.0.1:20092','127.0.0.1:20093','127.0.0.1:20094','127.0.0.1:20095','127.0.0.1:20096');
CREATE TABLE requests (
    key       TEXT    NOT NULL PRIMARY KEY,
    change    TEXT    NOT NULL,
    answer    TEXT    NOT NULL,
    log_index INTEGER NOT NULL
) STRICT;
CREATE TABLE settings (
    name       TEXT    NOT NULL PRIMARY KEY,
    value      TEXT    NOT NULL,
    revision   INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    changed_by TEXT    NOT NULL
) STRICT;
CREATE TABLE topics (
    id           TEXT    NOT NULL PRIMARY KEY,
    name         TEXT    NOT NULL,
    partitions   INTEGER NOT NULL,
    config       TEXT    NOT NULL,
    group_name   TEXT    NOT NULL,
    state        TEXT    NOT NULL CHECK (state IN ('live', 'restoring')),
    epochs_above INTEGER,
    revision     INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    deleted_at   INTEGER
) STRICT;
INSERT INTO "topics" VALUES('00000000-fa45-0000-0000-000000000001','__farshore_canary.default',1,'{}','default','live',NULL,1,1000,NULL);
CREATE TABLE virtual_nodes (
    id      INTEGER NOT NULL PRIMARY KEY,
    gateway TEXT    NOT NULL REFERENCES gateways (name),
    region  TEXT    NOT NULL REFERENCES regions (name),
    slot    INTEGER NOT NULL,
    port    INTEGER NOT NULL,
    UNIQUE (gateway, region, slot)
) STRICT;
CREATE TABLE witnesses (
    name        TEXT    NOT NULL PRIMARY KEY,
    incarnation INTEGER NOT NULL UNIQUE REFERENCES incarnations (number),
    council     TEXT    NOT NULL
) STRICT;
INSERT INTO "witnesses" VALUES('witness',3,'127.0.0.1:18095');
CREATE UNIQUE INDEX topics_by_name ON topics (name) WHERE deleted_at IS NULL;
CREATE INDEX topics_by_group ON topics (group_name) WHERE deleted_at IS NULL;
CREATE INDEX requests_by_age ON requests (log_index);
CREATE INDEX audit_by_age ON audit (log_index);
COMMIT;
