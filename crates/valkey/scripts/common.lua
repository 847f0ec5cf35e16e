-- Goes before the body of every script that writes. All of them take the same first keys:
--   KEYS[1]  hash     epoch: the epoch; last: the last number given, in any epoch; heard: when somebody joined or renewed last
--   KEYS[2]  stream   the log: ids <number>-0, one field "e" each
--   KEYS[3]  zset     the nodes: eight bytes (big-endian), by the moment at which the lease ends
-- Moments are microseconds of this server's clock. They and numbers stay below 2^53 until the year 2255, so that a Lua number holds them.
local function text(number)
  return string.format('%.0f', number)
end

local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

-- The epoch, or false: a log that is gone (evicted, deleted) ends it as well.
local function current_epoch()
  return redis.call('EXISTS', KEYS[2]) == 1 and redis.call('HGET', KEYS[1], 'epoch')
end

local last = tonumber(redis.call('HGET', KEYS[1], 'last') or '0')

-- Appends and returns the number. The log keeps log_max entries or a few more.
local function append(now, log_max, bytes)
  last = math.max(last + 1, now)
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', log_max, text(last) .. '-0', 'e', bytes)
  redis.call('HSET', KEYS[1], 'last', text(last))
  return text(last)
end

-- Steps back of the clock count for no lease, nor does a silence of all nodes longer than `silence_max`.
local function hear(now, silence_max)
  local heard = tonumber(redis.call('HGET', KEYS[1], 'heard') or text(now))
  local elapsed = now - heard
  if elapsed < 0 or elapsed > silence_max then
    for _, node in ipairs(redis.call('ZRANGE', KEYS[3], 0, -1)) do
      redis.call('ZINCRBY', KEYS[3], text(elapsed), node)
    end
  end
  redis.call('HSET', KEYS[1], 'heard', text(now))
end

-- The nodes whose leases hold, but `me`.
local function live_but(me, now)
  local others = {}
  for _, node in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '(' .. text(now), '+inf')) do
    if node ~= me then
      others[#others + 1] = node
    end
  end
  return others
end
