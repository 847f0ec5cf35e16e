-- A session moves from server to server, and may end at any of them: it has one row, whoever wrote it last. Numbers of several servers
-- are places in their one log; of rows with one number the newest is true.
DELETE FROM sessions AS older USING sessions AS newer
WHERE older.number = newer.number
    AND (newer.last_evidence, newer.node) > (older.last_evidence, older.node);
ALTER TABLE sessions DROP CONSTRAINT sessions_pkey;
ALTER TABLE sessions ADD PRIMARY KEY (number);
ALTER TABLE sessions DROP COLUMN node;
