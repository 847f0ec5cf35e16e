-- Puts a chunk behind those that wait, unless too many do.
--   KEYS[1]  list, the chunks that wait for one node
--   ARGV[1]  the chunk
--   ARGV[2]  how many may wait
--   ARGV[3]  after how many milliseconds they are gone
-- Returns {'ok'} or {'full'}.
if redis.call('LLEN', KEYS[1]) >= tonumber(ARGV[2]) then
  return { 'full' }
end
redis.call('RPUSH', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return { 'ok' }
