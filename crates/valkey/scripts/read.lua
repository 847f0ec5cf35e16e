-- What follows an entry, if that entry is still kept: otherwise something between may be gone.
--   KEYS[1]  hash, its field epoch
--   KEYS[2]  stream, the log
--   ARGV[1]  the epoch the reader believes in, decimal
--   ARGV[2]  the number of the entry
--   ARGV[3]  how many entries to return at most
--   ARGV[4]  after how many bytes of entries to stop
-- Returns {'ok', {number, bytes, number, bytes, …}}, {'epoch'} or {'trimmed'}.
if redis.call('EXISTS', KEYS[2]) == 0 or redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then
  return { 'epoch' }
end
local from = ARGV[2] .. '-0'
local first = redis.call('XRANGE', KEYS[2], from, from)[1]
if not first then
  return { 'trimmed' }
end
local found = {}
local left = tonumber(ARGV[3])
local room = tonumber(ARGV[4])
while left > 0 and room > 0 do
  local wanted = math.min(left, 16)
  local page = redis.call('XRANGE', KEYS[2], '(' .. from, '+', 'COUNT', wanted)
  for _, entry in ipairs(page) do
    found[#found + 1] = string.match(entry[1], '^%d+')
    found[#found + 1] = entry[2][2]
    room = room - #entry[2][2]
    from = entry[1]
  end
  left = #page < wanted and 0 or left - wanted
end
return { 'ok', found }
