#!lua flags=allow-oom
-- Confirm the instructions of a worker up to a number.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, of no meaning here; [2] worker; [3] number
-- Reply: 1
--: include keys

local worker = WORKER .. ARGV[2]
local told = redis.call('HMGET', worker, 'instructed', 'heeded')
if told[1] then
  local number = math.min(tonumber(ARGV[3]), tonumber(told[1]))
  redis.call('HSET', worker, 'heeded', string.format('%.0f', math.max(tonumber(told[2]), number)))
end
return 1
