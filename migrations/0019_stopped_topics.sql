-- Topics that were made again under the name of another, in groups that say so: nothing of them is copied before a person says so.
CREATE TABLE stopped_topics (
    id         TEXT    NOT NULL PRIMARY KEY,
    stopped_at INTEGER NOT NULL
) STRICT;
