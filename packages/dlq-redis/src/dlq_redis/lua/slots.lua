#!lua flags=no-writes
-- How the slots of some keys are used.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, of no meaning here; then marks
-- Reply: for each: how many jobs hold one; how many wait for one
--: include keys

local reply = {}
for at = 2, #ARGV do
  local waiting = 0
  for _, line in ipairs(redis.call('ZRANGEBYLEX', LINES, '[' .. ARGV[at], '(' .. ARGV[at] .. 'g')) do
    waiting = waiting + redis.call('ZCARD', LINE .. line)
  end
  reply[#reply + 1] = redis.call('ZCARD', SLOT .. ARGV[at])
  reply[#reply + 1] = waiting
end
return reply
