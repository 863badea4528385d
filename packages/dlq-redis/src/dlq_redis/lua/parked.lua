#!lua flags=no-writes
-- The tasks that have parked jobs.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, of no meaning here
-- Reply: their names
--: include keys

return redis.call('SMEMBERS', PARKED)
