-- Keys of applications. A key itself is nowhere: it was shown once, to whoever made it.
CREATE TABLE api_keys (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- never used twice
    name TEXT NOT NULL,
    prefix TEXT NOT NULL, -- the first characters of the key, to tell it from others
    key_hash BLOB NOT NULL UNIQUE, -- SHA-256 of the whole key
    created_at INTEGER NOT NULL,
    last_used_at INTEGER, -- an hour may have gone by since; null: never
    revoked_at INTEGER -- it opens nothing since
) STRICT;
CREATE UNIQUE INDEX api_keys_living ON api_keys (name) WHERE revoked_at IS NULL;

-- To those who follow `account_changes`, the keys together are one account of the number 0, which no account has. A new key is no
-- change: nobody remembers what is not there.
CREATE TRIGGER api_keys_changed AFTER UPDATE OF id, name, key_hash, revoked_at ON api_keys BEGIN
    DELETE FROM account_changes WHERE user_id = 0;
    INSERT INTO account_changes (user_id) VALUES (0);
END;
CREATE TRIGGER api_keys_erased AFTER DELETE ON api_keys BEGIN
    DELETE FROM account_changes WHERE user_id = 0;
    INSERT INTO account_changes (user_id) VALUES (0);
END;
