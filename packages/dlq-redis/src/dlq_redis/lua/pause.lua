#!lua flags=allow-oom
-- Have a queue give no claims.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, of no meaning here; [2] queue; [3] until when, or empty for ever
-- Reply: 1
--: include keys

redis.call('HSET', PAUSES, ARGV[2], ARGV[3])
return 1
