-- NOW: the microseconds of the epoch at which the verb happens. ARGV[1] gives them, or is empty for the server's clock.
local NOW = tonumber(ARGV[1])
if not NOW then
  local time = redis.call('TIME')
  NOW = time[1] * 1000000 + time[2]
end
