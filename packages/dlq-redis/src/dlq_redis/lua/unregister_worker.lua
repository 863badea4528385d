#!lua flags=allow-oom
-- Forget a worker. What it still holds is in HOLDERS, so that the claims are found as orphans.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, of no meaning here; [2] worker
-- Reply: 1
--: include keys

local runner = redis.call('HGET', WORKER .. ARGV[2], 'runner')
if runner then
  redis.call('SREM', CREW .. runner, ARGV[2])
  redis.call('DEL', WORKER .. ARGV[2])
end
return 1
