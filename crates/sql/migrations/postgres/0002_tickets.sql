-- Tickets that were not used yet, where several servers share this database: each is good once, at any of them, for a short time.
-- What stands here opens nothing: it is sealed with the ticket itself, of which only a digest is kept.
-- Unlogged: a crash of the database ends them, as it should.
CREATE UNLOGGED TABLE tickets (
    digest BYTEA PRIMARY KEY,
    sealed BYTEA NOT NULL,
    ends_at BIGINT NOT NULL
);
CREATE INDEX tickets_by_end ON tickets (ends_at);
