-- A session is heard by one server after the other, and whoever ends it ends the rows of all of them: they are found by number.
ALTER TABLE sessions DROP CONSTRAINT sessions_pkey, ADD PRIMARY KEY (number, node);
