-- Every time is in whole microseconds since 1970-01-01T00:00:00Z; every status, role and reason is the word of the wire.
-- Other programs may read all of this. What they write into `users` and `credential_sessions` holds in a running server
-- within a second; `presence` and the tables below it are the server's own: it holds the truth in memory and writes over them.

-- Accounts: who may sign in.
CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- never used twice
    username TEXT NOT NULL,
    username_key TEXT NOT NULL UNIQUE, -- the username without the difference between cases
    email TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    first_name TEXT NOT NULL,
    last_name TEXT NOT NULL,
    avatar TEXT,
    bio TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('admin', 'moderator', 'user')),
    status TEXT NOT NULL CHECK (status IN ('active', 'pending', 'suspended', 'banned')),
    is_active INTEGER NOT NULL CHECK (is_active IN (0, 1)),
    is_staff INTEGER NOT NULL CHECK (is_staff IN (0, 1)),
    email_verified INTEGER NOT NULL CHECK (email_verified IN (0, 1)),
    is_approved INTEGER NOT NULL CHECK (is_approved IN (0, 1)),
    message_count INTEGER NOT NULL DEFAULT 0,
    report_count INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    tokens_valid_after INTEGER, -- tokens issued at or before are void
    search_key TEXT NOT NULL -- what a search looks into: username, e-mail and names, a line each, without the difference between cases
) STRICT;
CREATE INDEX users_by_created_at ON users (created_at);
-- Few are barred and few are admins: these two stay small.
CREATE INDEX users_barred ON users (id) WHERE is_active = 0 OR status <> 'active';
CREATE INDEX users_admins ON users (id) WHERE is_staff = 1 OR role = 'admin';

-- Logins: what the tokens of an account stand on. Ended ones stay until their tokens would have expired.
CREATE TABLE credential_sessions (
    id TEXT PRIMARY KEY, -- the `sid` of its tokens, or the `jti` of a foreign one
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    refresh_jti TEXT NOT NULL,
    address TEXT NOT NULL,
    device TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    ended_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX credential_sessions_by_user ON credential_sessions (user_id);
CREATE INDEX credential_sessions_by_end ON credential_sessions (expires_at);

-- The newest change of each account, so that every process on this database hears of what the others did. One row an account,
-- erased accounts included: a reader who was away for long misses nothing.
CREATE TABLE account_changes (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id INTEGER NOT NULL UNIQUE
) STRICT;
CREATE TRIGGER users_inserted AFTER INSERT ON users BEGIN
    DELETE FROM account_changes WHERE user_id = NEW.id;
    INSERT INTO account_changes (user_id) VALUES (NEW.id);
END;
-- All but the password's hash: the same password hashed anew is nothing that others need to hear of.
CREATE TRIGGER users_updated AFTER UPDATE OF
    id, username, username_key, email, first_name, last_name, avatar, bio, role, status, is_active, is_staff,
    email_verified, is_approved, message_count, report_count, created_at, updated_at, tokens_valid_after, search_key
ON users BEGIN
    DELETE FROM account_changes WHERE user_id = NEW.id;
    INSERT INTO account_changes (user_id) VALUES (NEW.id);
END;
CREATE TRIGGER users_deleted AFTER DELETE ON users BEGIN
    DELETE FROM account_changes WHERE user_id = OLD.id;
    INSERT INTO account_changes (user_id) VALUES (OLD.id);
END;
CREATE TRIGGER credential_sessions_ended AFTER UPDATE OF ended_at ON credential_sessions
WHEN NEW.ended_at IS NOT OLD.ended_at BEGIN
    DELETE FROM account_changes WHERE user_id = NEW.user_id;
    INSERT INTO account_changes (user_id) VALUES (NEW.user_id);
END;
CREATE TRIGGER credential_sessions_refused AFTER INSERT ON credential_sessions
WHEN NEW.ended_at IS NOT NULL BEGIN
    DELETE FROM account_changes WHERE user_id = NEW.user_id;
    INSERT INTO account_changes (user_id) VALUES (NEW.user_id);
END;

-- What administrators did. Never a secret.
CREATE TABLE audit_log (
    id INTEGER PRIMARY KEY,
    actor INTEGER, -- an account; null is the command line
    action TEXT NOT NULL,
    target INTEGER, -- an account, which may be gone
    detail TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;

-- What others may know of a user: one row for everybody who was ever present. `user_id` is the account's number as text, or a
-- name that an application brought. A live `last_seen` is up to a minute or so ahead of its row: see `evidence`.
CREATE TABLE presence (
    user_id TEXT PRIMARY KEY,
    online_status TEXT NOT NULL CHECK (online_status IN ('offline', 'away', 'online')),
    last_seen INTEGER, -- null: never heard
    since INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX presence_by_online_status ON presence (online_status);
CREATE INDEX presence_by_last_seen ON presence (last_seen);

-- `presence` with times that people read.
CREATE VIEW presence_readable AS
SELECT
    user_id,
    online_status,
    strftime('%Y-%m-%dT%H:%M:%S', (last_seen - (last_seen % 1000000 + 1000000) % 1000000) / 1000000, 'unixepoch')
        || printf('.%06dZ', (last_seen % 1000000 + 1000000) % 1000000) AS last_seen,
    strftime('%Y-%m-%dT%H:%M:%S', (since - (since % 1000000 + 1000000) % 1000000) / 1000000, 'unixepoch')
        || printf('.%06dZ', (since % 1000000 + 1000000) % 1000000) AS since
FROM presence;

-- Live sessions of presence: what a restart needs.
CREATE TABLE sessions (
    number INTEGER PRIMARY KEY, -- what evidence refers to; never used twice
    user_id TEXT NOT NULL,
    session TEXT NOT NULL,
    activity TEXT NOT NULL CHECK (activity IN ('idle', 'active')),
    opened_at INTEGER NOT NULL,
    last_evidence INTEGER NOT NULL -- when the row was written
) STRICT;
CREATE INDEX sessions_by_user ON sessions (user_id);

-- Statuses that stand on top of what the sessions say.
CREATE TABLE overrides (
    user_id TEXT NOT NULL,
    source TEXT NOT NULL CHECK (source IN ('application', 'user', 'admin')),
    status TEXT NOT NULL CHECK (status IN ('offline', 'away', 'online')),
    set_at INTEGER NOT NULL,
    ends_at INTEGER, -- null: until it is cleared
    PRIMARY KEY (user_id, source)
) STRICT, WITHOUT ROWID;

-- Statuses that hold until the user's next evidence.
CREATE TABLE held (
    user_id TEXT PRIMARY KEY,
    status TEXT NOT NULL CHECK (status IN ('offline', 'away', 'online')),
    set_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The history of statuses.
CREATE TABLE transitions (
    id INTEGER PRIMARY KEY,
    user_id TEXT NOT NULL,
    from_status TEXT NOT NULL,
    to_status TEXT NOT NULL,
    at INTEGER NOT NULL,
    last_seen INTEGER,
    reason TEXT NOT NULL
) STRICT;
CREATE INDEX transitions_by_user ON transitions (user_id, at);
CREATE INDEX transitions_by_at ON transitions (at);

-- Who was heard in the last seconds, packed, a row a second: what `presence` and `sessions` do not yet say.
CREATE TABLE evidence (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    packed BLOB NOT NULL
) STRICT;

-- One row, written to find out whether writing works.
CREATE TABLE probe (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    written INTEGER NOT NULL
) STRICT;
INSERT INTO probe (id, written) VALUES (1, 0);
