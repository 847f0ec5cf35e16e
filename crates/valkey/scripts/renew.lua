-- Renews a lease, and reaps the nodes whose leases have expired.
--   KEYS     epoch, log, nodes (common.lua)
--   ARGV[1]  the node, eight bytes big-endian
--   ARGV[2]  the epoch it believes in, decimal
--   ARGV[3]  the length of the lease, microseconds
--   ARGV[4]  how many entries the log keeps
--   ARGV[5]  what stands before the eight bytes of a reaped node in its entry
-- Returns {'ok', {the other live nodes}, {the reaped}}, {'epoch'} or {'lost'}.
local me = ARGV[1]
if current_epoch() ~= ARGV[2] then
  return { 'epoch' }
end
if not redis.call('ZSCORE', KEYS[3], me) then
  return { 'lost' }
end
local now = clock()
local lease = tonumber(ARGV[3])
hear(now, lease)
redis.call('ZADD', KEYS[3], text(now + lease), me)
local reaped = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', text(now))
for _, node in ipairs(reaped) do
  redis.call('ZREM', KEYS[3], node)
  append(now, ARGV[4], ARGV[5] .. node)
end
return { 'ok', live_but(me, now), reaped }
