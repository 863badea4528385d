#!lua flags=no-writes
-- Schedules by key.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, of no meaning here; [2] how many at most; [3] the key that all come after, or empty; then the kinds:
--        static, dynamic
-- Reply: of each kind so many, as get.lua gives them
--: include keys rows batch schedules

local reply = {}
for at = 4, #ARGV do
  local from = ARGV[3] == '' and '-' or '(' .. ARGV[3]
  describe(redis.call('ZRANGEBYLEX', LISTED .. ARGV[at], from, '+', 'LIMIT', 0, ARGV[2]), reply)
end
return reply
