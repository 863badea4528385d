#!lua flags=allow-oom
-- Make a worker of a known runner known, or change what it says; what it was told stays.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, of no meaning here; [2] worker; [3] runner; [4] the order that it follows; [5] the order that says
--        nothing; [6] instructed; [7] heeded; then names and values
-- Reply: 1; 0 when the runner is not registered
--: include keys

local worker, runner, order = WORKER .. ARGV[2], ARGV[3], ARGV[4]
if redis.call('HEXISTS', BEATS, runner) == 0 then
  return 0
end
if redis.call('EXISTS', worker) == 0 then
  redis.call('HSET', worker, 'order', order, 'instructed', ARGV[6], 'heeded', ARGV[7])
else
  redis.call('SREM', CREW .. redis.call('HGET', worker, 'runner'), ARGV[2])
  if order ~= ARGV[5] then
    redis.call('HSET', worker, 'order', order)
  end
end
redis.call('HSET', worker, 'runner', runner, unpack(ARGV, 8))
redis.call('SADD', CREW .. runner, ARGV[2])
return 1
