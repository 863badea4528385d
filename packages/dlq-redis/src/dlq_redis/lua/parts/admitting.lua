-- Who gets the slots of keys. dlq/limits.py decides the same for other stores.
local PAUSED

local function is_closed(queue)
  PAUSED = PAUSED or paused_queues()
  return PAUSED[queue]
end

local function end_for(id, row, reason)
  give_reason(id, row, reason)
  finish(id, row, CANCELLED)
end

-- The newest have the slots: the oldest of those that hold one or wait for one give way. Returns how many slots got free.
local function give_way(mark, slot, newest, gone)
  local rows, ids = load(redis.call('ZRANGE', SLOT .. mark, 0, -1))
  local oldest, freed = {}, 0
  for _, job in ipairs(newest) do
    oldest[#oldest + 1] = job
  end
  for _, id in ipairs(ids) do
    if rows[id].state ~= RUNNING or not has(rows[id], HAS_REASON) then
      oldest[#oldest + 1] = { id = id, row = rows[id] }
    end
  end
  table.sort(oldest, function(one, other) return one.row.place % BAND < other.row.place % BAND end)
  local reason = "A newer job has taken its place: the limit of '" .. slot.key .. "' is " .. slot.limit .. '.'
  for at = 1, #oldest - slot.limit do
    local id, row = oldest[at].id, oldest[at].row
    gone[id] = true
    if row.state == RUNNING then
      give_reason(id, row, reason)
      redis.call('SADD', ASKED, id)
      redis.call('HSET', ROWS, id, write(row))
    else
      freed = freed + (row.state == RUNNABLE and 1 or 0)
      end_for(id, row, reason)
    end
  end
  return freed
end

-- The first of each line that is not closed, as many as may get a slot or must give way.
local function first_in_line(lines, free)
  local waiting, newest, closed = {}, {}, false
  for _, line in ipairs(lines) do
    local policy = string.sub(line, -1)
    local most = policy == 'b' and math.min(free, MOST) or MOST
    local rows, ids = load(most > 0 and redis.call('ZRANGE', LINE .. line, 0, most - 1) or {})
    local shut = #ids > 0 and is_closed(rows[ids[1]].queue)
    closed = closed or shut
    for _, id in ipairs(shut and {} or ids) do
      local job = { id = id, row = rows[id], policy = policy }
      waiting[#waiting + 1] = job
      if policy == 'c' then
        newest[#newest + 1] = job
      end
    end
  end
  table.sort(waiting, function(one, other) return one.row.place < other.row.place end)
  return waiting, newest, closed
end

local function slot_for(mark, lines)
  local raw = redis.call('HGET', SEMAPHORES, mark)
  if not raw then
    local first = read(redis.call('HGET', ROWS, redis.call('ZRANGE', LINE .. lines[1], 0, 0)[1]))
    if not first then
      return nil  -- A newer version knows what it is.
    end
    raw = string.sub(first.limits, LINE_LENGTH + 1)
    redis.call('HSET', SEMAPHORES, mark, raw)
  end
  local limit, key = struct.unpack('>HHc0', raw)
  return { limit = limit, key = key }
end

-- Give the free slots of a key to up to ``most`` of those that wait for them; returns how many got one, and whether more
-- might. What was written before must have been flushed.
local function admit_of(mark, most)
  local lines = redis.call('ZRANGEBYLEX', LINES, '[' .. mark, '(' .. mark .. 'g')
  local held = redis.call('ZCARD', SLOT .. mark)
  if #lines == 0 then
    if held == 0 then
      redis.call('HDEL', SEMAPHORES, mark)
    end
    return 0, false
  end
  local slot = slot_for(mark, lines)
  if not slot then
    return 0, true
  end
  local free, admitted, gone = slot.limit - held, 0, {}
  local waiting, newest, more = first_in_line(lines, free)
  if #newest > 0 then
    free = free + give_way(mark, slot, newest, gone)
  end
  for _, job in ipairs(waiting) do
    local id, row = job.id, job.row
    if not gone[id] and free > 0 and admitted < most then
      leave(id, row)
      row.place = next_place(row.place)
      enter(id, row, RUNNABLE)
      free, admitted = free - 1, admitted + 1
    elseif not gone[id] and free > 0 then
      more = true
    elseif not gone[id] and job.policy == 'd' and row.token == 0 then
      end_for(id, row, "There was no slot for it: the limit of '" .. slot.key .. "' is " .. slot.limit .. '.')
    end
  end
  flush()
  return admitted, more
end

-- The same for all keys of which this script has given slots back, or has let jobs begin to wait.
local function admit_touched()
  for _, mark in ipairs(take_touched()) do
    local _, more = admit_of(mark, MOST)
    redis.call(more and 'SADD' or 'SREM', OPEN, mark)
  end
end

-- Jobs of paused queues that were ready wait again, before the others of their line.
local function put_back()
  for queue in pairs(paused_queues()) do
    local rows, ids = load(redis.call('ZRANGE', ADMITTED .. queue, 0, -1))
    for at = #ids, 1, -1 do
      local id, row = ids[at], rows[ids[at]]
      local first = redis.call('ZRANGE', LINE .. line_of(row), 0, 0, 'WITHSCORES')
      leave(id, row)
      if first[2] then
        row.place = math.max(row.place - row.place % BAND, math.min(row.place, tonumber(first[2]) - 1))
      end
      enter(id, row, BLOCKED)
      flush()
    end
  end
end

-- The same for keys of which any script has. Returns how many jobs got a slot.
local function admit_any(most)
  put_back()
  local admitted, again = 0, {}
  for _, mark in ipairs(redis.call('SPOP', OPEN, MOST)) do
    local some, more = 0, true
    if admitted < most then
      some, more = admit_of(mark, most - admitted)
    end
    admitted = admitted + some
    if more then
      again[#again + 1] = mark
    end
  end
  take_touched()
  in_parts('SADD', OPEN, again)
  return admitted
end
