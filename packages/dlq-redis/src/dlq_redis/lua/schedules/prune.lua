#!lua flags=allow-oom
-- Delete records of fires that were decided some time ago.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, or empty; [2] the age in microseconds; [3] how many at most; [4] how many to look at, at most; [5] where
--        to begin among those of the schedule; [6] the key of the schedule, if it is to be one alone
-- Reply: how many are deleted; where to go on, -1 when all were seen
--: include keys clock batch

local last, limit, budget, from = NOW - tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])

local function forget(fires)
  for _, fire in ipairs(fires) do
    drop(FIRES_DUE, fire)
    drop(FIRES_AT, fire)
    drop(FIRES_OF .. string.sub(fire, 9), fire)
  end
  flush()
  in_parts('HDEL', FIRES, fires)
  return #fires
end

if not ARGV[6] then
  local old = redis.call('ZRANGEBYSCORE', FIRES_AT, '-inf', string.format('%.0f', last), 'LIMIT', 0, limit)
  return { forget(old), -1 }
end
local doomed, list = {}, redis.call('ZRANGE', FIRES_OF .. ARGV[6], from, from + math.min(budget, MOST) - 1)
for _, fire in ipairs(list) do
  if #doomed < limit and tonumber(redis.call('ZSCORE', FIRES_AT, fire) or 0) <= last then
    doomed[#doomed + 1] = fire
  end
end
return { forget(doomed), #list < math.min(budget, MOST) and -1 or from + #list - #doomed }
