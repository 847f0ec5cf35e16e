-- Whose ticket it is, so that one user cannot take all of them; empty for the back end of an application.
-- Those of before are good for half a minute and nobody's.
ALTER TABLE tickets ADD COLUMN user_id TEXT NOT NULL DEFAULT '';
CREATE INDEX tickets_by_user ON tickets (user_id);
