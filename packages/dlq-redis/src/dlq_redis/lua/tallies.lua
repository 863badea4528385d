#!lua flags=no-writes
-- What was counted in some minutes.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, of no meaning here; [2] the first minute; [3] the minute that all are before, or empty; [4] how many
--        minutes at most
-- Reply: the minute to go on from, or nothing when there is none; for each minute, in their order: its number since the
--        epoch; names and figures, in turn
--: include keys

local most, ends = tonumber(ARGV[4]), ARGV[3] == '' and '+inf' or '(' .. ARGV[3]
local minutes, found = redis.call('ZRANGEBYSCORE', MINUTES, ARGV[2], ends, 'LIMIT', 0, most + 1), {}
for at = 1, math.min(most, #minutes) do
  found[at] = { minutes[at], redis.call('HGETALL', TALLY .. minutes[at]) }
end
return { minutes[most + 1] or false, found }
