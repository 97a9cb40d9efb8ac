-- What steps of runs have done to the council's own state: a step that comes again finds its answer here.
CREATE TABLE effects (
    run       TEXT    NOT NULL,
    step      TEXT    NOT NULL,
    effect    TEXT    NOT NULL,
    answer    TEXT    NOT NULL,
    log_index INTEGER NOT NULL,
    PRIMARY KEY (run, step, effect)
) STRICT;

-- Answers by the key a client chose, so that a request sent twice has one effect.
CREATE TABLE requests (
    key       TEXT    NOT NULL PRIMARY KEY,
    change    TEXT    NOT NULL,
    answer    TEXT    NOT NULL,
    log_index INTEGER NOT NULL
) STRICT;

CREATE INDEX requests_by_age ON requests (log_index);
