#!lua flags=no-writes
-- Claims whose worker is not registered, the oldest first.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, of no meaning here; [2] how many at most
-- Reply: for each: id, row, data, metadata
--: include keys rows batch replies

local limit, claims = tonumber(ARGV[2]), {}
if limit <= 0 then
  return {}
end
for _, worker in ipairs(redis.call('SMEMBERS', HOLDERS)) do
  if redis.call('EXISTS', WORKER .. worker) == 0 then
    local found = redis.call('ZRANGE', RUN .. worker, 0, limit - 1, 'WITHSCORES')
    for at = 1, #found, 2 do
      claims[#claims + 1] = { found[at], tonumber(found[at + 1]) }
    end
  end
end
table.sort(claims, function(one, other) return one[2] < other[2] end)
local ids = {}
for at = 1, math.min(limit, #claims) do
  ids[at] = claims[at][1]
end
return reply_with({}, ids)
