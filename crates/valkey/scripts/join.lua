-- Registers a node, and founds an epoch when no other is live or the log is gone.
--   KEYS     epoch, log, nodes (common.lua)
--   ARGV[1]  the node, eight bytes big-endian
--   ARGV[2]  the epoch to found, decimal
--   ARGV[3]  the length of the lease, microseconds
--   ARGV[4]  how many entries the log keeps
--   ARGV[5]  the entry to append
-- Returns {'ok', epoch, number, {the other live nodes}}.
local me = ARGV[1]
local now = clock()
local epoch = current_epoch()
local peers = {}
if epoch then
  hear(now, math.huge)
  peers = live_but(me, now)
end
if #peers == 0 then
  epoch = ARGV[2]
  local newest = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
  if newest then
    last = math.max(last, tonumber(string.match(newest[1], '^%d+')))
  end
  redis.call('DEL', KEYS[2], KEYS[3])
  redis.call('HSET', KEYS[1], 'epoch', epoch, 'heard', text(now))
end
redis.call('ZADD', KEYS[3], text(now + tonumber(ARGV[3])), me)
return { 'ok', epoch, append(now, ARGV[4], ARGV[5]), peers }
