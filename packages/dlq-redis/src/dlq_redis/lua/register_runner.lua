#!lua flags=allow-oom
-- Make a runner known, or change what it says.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, or empty; [2] runner; [3] host; [4] pid; [5] its first beat
-- Reply: 1
--: include keys clock

if redis.call('HSETNX', BEATS, ARGV[2], ARGV[5]) == 1 then
  redis.call('HSET', RUNNER .. ARGV[2], 'beat_at', string.format('%.0f', NOW))
end
redis.call('HSET', RUNNER .. ARGV[2], 'host', ARGV[3], 'pid', ARGV[4])
return 1
