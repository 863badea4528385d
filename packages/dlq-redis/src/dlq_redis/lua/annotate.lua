#!lua flags=allow-oom
-- Store what running jobs say about themselves.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, of no meaning here; [2] how many lines of a log are kept; then for each note: id, token, how many names
--        and values, these, how many lines, these
-- Reply: the ids of those that were rejected
--: include keys rows batch

local most, at, stale = tonumber(ARGV[2]), 3, {}

local function values()
  local last = at + tonumber(ARGV[at])
  local found = {}
  for index = at + 1, last do
    found[#found + 1] = ARGV[index]
  end
  at = last + 1
  return found
end

while at <= #ARGV do
  local id, token = ARGV[at], tonumber(ARGV[at + 1])
  at = at + 2
  local said, lines = values(), values()
  local raw = redis.call('HGET', ROWS, id)
  local row = read(raw)
  if row and row.state == RUNNING and row.token == token then
    in_parts('HSET', NOTE .. id, said)
    in_parts('RPUSH', LOG .. id, lines)
    redis.call('LTRIM', LOG .. id, -most, -1)
    mark(row, HAS_NOTE, has(row, HAS_NOTE) or #said > 0)
    mark(row, HAS_LOG, has(row, HAS_LOG) or #lines > 0)
    redis.call('HSET', ROWS, id, write(row))
  else
    stale[#stale + 1] = id
  end
end
return stale
