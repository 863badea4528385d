-- Jobs as a client gets them: id, row, data, metadata if the task has replaced what the job was enqueued with.
local function reply_with(reply, ids)
  if #ids == 0 then
    return reply
  end
  local rows, data = many('HMGET', ROWS, ids), many('HMGET', DATA, ids)
  for at, id in ipairs(ids) do
    local raw = rows[at]
    if is_known(raw) then
      reply[#reply + 1] = id
      reply[#reply + 1] = raw
      reply[#reply + 1] = data[at] or NOTHING
      reply[#reply + 1] = math.floor(string.byte(raw, 3) / HAS_NOTE) % 2 == 1
        and redis.call('HGET', NOTE .. id, 'metadata')
    end
  end
  return reply
end
