#!lua flags=no-writes
-- Whether the backend's keys hold what they should.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, of no meaning here
-- Reply: nothing, or the name of a key that somebody else uses, and what it holds
--: include keys

local kinds = {
  [DATA] = 'hash', [ROWS] = 'hash', [IDS] = 'zset', [SEQUENCE] = 'string', [DUE] = 'zset', [EXPIRY] = 'zset',
  [ASKED] = 'set', [REASONS] = 'hash', [HOLDERS] = 'set', [PARKED] = 'set', [PAUSES] = 'hash', [BEATS] = 'hash',
  [WAKE] = 'stream', [RELAYED] = 'zset', [SCHEDULES] = 'hash', [STANDINGS] = 'hash', [AGENDA] = 'zset',
  [UNIQUES] = 'hash', [MARKS] = 'hash', [DUPLICATES] = 'hash',
  [LISTED .. 'static'] = 'zset', [LISTED .. 'dynamic'] = 'zset', [FIRES] = 'hash', [FIRES_DUE] = 'zset',
  [FIRES_AT] = 'zset', [TOTALS] = 'hash', [MINUTES] = 'zset', [LINES] = 'zset', [SEMAPHORES] = 'hash', [OPEN] = 'set',
}
for state = 1, 7 do
  kinds[COUNT .. state] = 'hash'
end
for state = 5, 7 do
  kinds[ENDED .. state], kinds[KEPT .. state] = 'zset', 'zset'
end
for key, kind in pairs(kinds) do
  local found = redis.call('TYPE', key).ok
  if found ~= 'none' and found ~= kind then
    return { key, found }
  end
end
return {}
