#!lua flags=allow-oom
-- Raise a runner's beat by one.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, or empty; [2] runner
-- Reply: the runners and their beats, in turn; nothing when the runner is not registered
--: include keys clock

if redis.call('HEXISTS', BEATS, ARGV[2]) == 0 then
  return {}
end
redis.call('HINCRBY', BEATS, ARGV[2], 1)
redis.call('HSET', RUNNER .. ARGV[2], 'beat_at', string.format('%.0f', NOW))
return redis.call('HGETALL', BEATS)
