#!lua flags=no-writes
-- Jobs that were relayed some time ago, and of which nobody has said that they have left their outbox.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, or empty; [2] how long ago at least, in microseconds; [3] how many at most
-- Reply: their ids
--: include keys clock

return redis.call('ZRANGEBYSCORE', RELAYED, '-inf', string.format('%.0f', NOW - ARGV[2]), 'LIMIT', 0, ARGV[3])
