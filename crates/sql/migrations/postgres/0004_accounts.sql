-- The e-mail address without the difference between cases: no two accounts have the same. Null: none, or one that an older account
-- had already when this came (the second line of `search_key` is the address in this form).
ALTER TABLE users ADD COLUMN email_key TEXT COLLATE "C";
UPDATE users SET email_key = firsts.email_key
FROM (SELECT min(id) AS id, split_part(search_key, E'\n', 2) AS email_key FROM users WHERE email <> '' GROUP BY 2) AS firsts
WHERE users.id = firsts.id AND firsts.email_key <> '';
CREATE UNIQUE INDEX users_email_key ON users (email_key);

-- Refresh tokens beside the newest: good ones, and with `@` and the moment those that were used a moment ago.
ALTER TABLE credential_sessions ADD COLUMN refresh_others TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE credential_sessions ADD COLUMN refreshed_at BIGINT; -- null: never
ALTER TABLE credential_sessions ADD COLUMN ended_by_admin BOOLEAN NOT NULL DEFAULT FALSE;
