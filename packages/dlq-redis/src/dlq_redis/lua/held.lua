#!lua flags=no-writes
-- The claims of one worker, the oldest first.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, of no meaning here; [2] worker; [3] how many at most
-- Reply: for each: id, row, data, metadata
--: include keys rows batch replies

local limit = tonumber(ARGV[3])
if limit <= 0 then
  return {}
end
return reply_with({}, redis.call('ZRANGE', RUN .. ARGV[2], 0, limit - 1))
