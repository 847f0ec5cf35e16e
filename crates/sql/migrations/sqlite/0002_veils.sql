-- What others see of a user who is invisible, or was and may not be betrayed by what happened meanwhile. The other tables hold
-- the truth: a program that reads them sees invisible users as they are.
CREATE TABLE veils (
    user_id TEXT PRIMARY KEY,
    invisible INTEGER NOT NULL CHECK (invisible IN (0, 1)), -- 0: was invisible, until `at`
    at INTEGER NOT NULL,
    last_seen INTEGER, -- in the place of the true one
    since INTEGER, -- likewise, while it holds
    since_holds INTEGER NOT NULL CHECK (since_holds IN (0, 1))
) STRICT, WITHOUT ROWID;

-- Whose history a line belongs to: null is everybody's; 'insiders' is the truth that others did not see, and 'others' what they saw.
ALTER TABLE transitions ADD COLUMN audience TEXT CHECK (audience IN ('insiders', 'others'));
