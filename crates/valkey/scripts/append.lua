-- Appends entries in order, all or none.
--   KEYS      epoch, log, nodes (common.lua)
--   ARGV[1]   the node, eight bytes big-endian
--   ARGV[2]   the epoch it believes in, decimal
--   ARGV[3]   how many entries the log keeps
--   ARGV[4…]  the entries
-- Returns {'ok', {numbers}}, {'epoch'} or {'lost'}.
if current_epoch() ~= ARGV[2] then
  return { 'epoch' }
end
if not redis.call('ZSCORE', KEYS[3], ARGV[1]) then
  return { 'lost' }
end
local now = clock()
local numbers = {}
for place = 4, #ARGV do
  numbers[#numbers + 1] = append(now, ARGV[3], ARGV[place])
end
return { 'ok', numbers }
