#!lua flags=allow-oom
-- Forget a runner and its workers, if its beat still is the given one.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, of no meaning here; [2] runner; [3] the beat, or empty for whatever it is
-- Reply: 1 if it did, else 0
--: include keys

local beat = redis.call('HGET', BEATS, ARGV[2])
if not beat or (ARGV[3] ~= '' and ARGV[3] ~= beat) then
  return 0
end
for _, worker in ipairs(redis.call('SMEMBERS', CREW .. ARGV[2])) do
  redis.call('DEL', WORKER .. worker)
end
redis.call('DEL', CREW .. ARGV[2], RUNNER .. ARGV[2])
redis.call('HDEL', BEATS, ARGV[2])
return 1
