#!lua flags=no-writes
-- Fires, the latest due time first.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, of no meaning here; [2] how many at most; [3] the due time that all are before, or empty; [4] the key of
--        the schedule, if it is to be one alone
-- Reply: for each two: its due time and key, packed; what became of it, packed
--: include keys batch

local list = ARGV[4] and FIRES_OF .. ARGV[4] or FIRES_DUE
local below = ARGV[3] == '' and '+inf' or '(' .. ARGV[3]
local fires = redis.call('ZREVRANGEBYSCORE', list, below, '-inf', 'LIMIT', 0, ARGV[2])
local reply = {}
for at, record in ipairs(many('HMGET', FIRES, fires)) do
  if record then
    reply[#reply + 1] = fires[at]
    reply[#reply + 1] = record
  end
end
return reply
