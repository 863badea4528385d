#!lua flags=allow-oom
-- Jobs that are in no outbox any more: nobody will relay them again.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, of no meaning here; then ids
-- Reply: 1
--: include keys rows batch

for at = 2, #ARGV do
  redis.call('ZREM', RELAYED, ARGV[at])
end
return 1
