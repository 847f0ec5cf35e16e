-- What a username looks like, whatever it is made of: no two accounts look the same. Null: one that is older than this, and looks like
-- one that was there before. (The program fills it in right after this.)
ALTER TABLE users ADD COLUMN username_look TEXT COLLATE "C";
CREATE UNIQUE INDEX users_username_look ON users (username_look);

-- Hashes of another cost than those that are made today: how long a refusal takes is known from them at the start.
CREATE INDEX users_old_hashes ON users ((password_hash COLLATE "C")) WHERE substr(password_hash, 1, 31) <> '$argon2id$v=19$m=19456,t=2,p=1$';
