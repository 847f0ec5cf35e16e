-- Writes something, which a server that is full or a replica refuses.
--   KEYS[1]  string
-- Returns {'ok'}.
redis.call('SET', KEYS[1], '', 'PX', 1000)
return { 'ok' }
