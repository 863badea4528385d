#!lua flags=no-writes
-- The registered runners with their workers.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, or empty
-- Reply: now; for each runner: its name, its beat, what it says as names and values, and for each of its workers: its name,
--        what it says as names and values
--: include keys clock

local runners = {}
local beats = redis.call('HGETALL', BEATS)
for at = 1, #beats, 2 do
  local workers = {}
  for _, worker in ipairs(redis.call('SMEMBERS', CREW .. beats[at])) do
    workers[#workers + 1] = worker
    workers[#workers + 1] = redis.call('HGETALL', WORKER .. worker)
  end
  runners[#runners + 1] = { beats[at], beats[at + 1], redis.call('HGETALL', RUNNER .. beats[at]), workers }
end
return { string.format('%.0f', NOW), runners }
