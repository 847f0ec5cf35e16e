-- The e-mail address without the difference between cases: no two accounts have the same. Null: none, or one that an older account
-- had already when this came (the second line of `search_key` is the address in this form).
ALTER TABLE users ADD COLUMN email_key TEXT;
WITH keys AS (
    SELECT id, substr(rest, 1, instr(rest, char(10)) - 1) AS email_key
    FROM (SELECT id, substr(search_key, instr(search_key, char(10)) + 1) AS rest FROM users WHERE email <> '')
), firsts AS (
    SELECT min(id) AS id, email_key FROM keys WHERE email_key <> '' GROUP BY email_key
)
UPDATE users SET email_key = firsts.email_key FROM firsts WHERE users.id = firsts.id;
CREATE UNIQUE INDEX users_email_key ON users (email_key);

-- Refresh tokens beside the newest: good ones, and with `@` and the moment those that were used a moment ago.
ALTER TABLE credential_sessions ADD COLUMN refresh_others TEXT NOT NULL DEFAULT '';
ALTER TABLE credential_sessions ADD COLUMN refreshed_at INTEGER; -- null: never
ALTER TABLE credential_sessions ADD COLUMN ended_by_admin INTEGER NOT NULL DEFAULT 0 CHECK (ended_by_admin IN (0, 1));
