#!lua flags=no-writes
-- What was counted since the beginning.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, of no meaning here
-- Reply: names and figures, in turn
--: include keys

return redis.call('HGETALL', TOTALS)
