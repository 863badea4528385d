-- Jobs with all that is known of them: eight values each, see get.lua.
local function records(ids, whole)
  local reply = {}
  if #ids == 0 then
    return reply
  end
  local rows, data = many('HMGET', ROWS, ids), many('HMGET', DATA, ids)
  for at, id in ipairs(ids) do
    if is_known(rows[at]) then
      local row, n = read(rows[at]), #reply
      reply[n + 1], reply[n + 2], reply[n + 3] = id, rows[at], data[at] or NOTHING
      reply[n + 4] = has(row, HAS_REASON) and redis.call('HGET', REASONS, id)
      reply[n + 5] = has(row, HAS_NOTE) and redis.call('HGETALL', NOTE .. id)
      reply[n + 6] = whole and has(row, HAS_HISTORY) and redis.call('LRANGE', HISTORY .. id, 0, -1)
      reply[n + 7] = whole and has(row, HAS_LOG) and redis.call('LRANGE', LOG .. id, 0, -1)
      reply[n + 8] = has(row, IS_UNIQUE) and redis.call('HGET', DUPLICATES, id)
    end
  end
  return reply
end
