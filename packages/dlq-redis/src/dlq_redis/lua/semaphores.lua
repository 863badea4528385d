#!lua flags=no-writes
-- The keys whose slots are held or waited for.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, of no meaning here
-- Reply: marks and what was declared of each, in turn: the number of slots, and the key with its length
--: include keys

return redis.call('HGETALL', SEMAPHORES)
