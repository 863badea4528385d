#!lua flags=no-writes
-- The versions of tasks for which jobs are parked.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, of no meaning here
-- Reply: each as version:task
--: include keys

return redis.call('SMEMBERS', PARKED)
