-- Removes a node, as if it had been reaped; the last one ends the epoch.
--   KEYS[1…3]  epoch, log, nodes (common.lua)
--   KEYS[4]    list, the chunks that wait for the node
--   ARGV[1]    the node, eight bytes big-endian
--   ARGV[2]    the epoch it believes in, decimal
--   ARGV[3]    how many entries the log keeps
--   ARGV[4]    what stands before the eight bytes of the node in its entry
-- Returns {'ok'}, whether or not it was there.
if current_epoch() == ARGV[2] and redis.call('ZREM', KEYS[3], ARGV[1]) == 1 then
  local now = clock()
  if #live_but(ARGV[1], now) == 0 then
    redis.call('DEL', KEYS[2], KEYS[3])
    redis.call('HDEL', KEYS[1], 'epoch')
  else
    append(now, ARGV[3], ARGV[4] .. ARGV[1])
  end
end
redis.call('DEL', KEYS[4])
return { 'ok' }
