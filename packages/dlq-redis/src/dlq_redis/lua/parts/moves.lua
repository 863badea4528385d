local ENDINGS = { [SUCCEEDED] = 's', [FAILED] = 'f', [CANCELLED] = 'c' }

-- How a job leaves one state and enters another. ``at`` is the moment that belongs to the state: when a scheduled job
-- is due, when a running one was claimed, when a finished one ended. Of a job that is parked it is the version of its
-- task that it waits for.
local function parked_for(row)
  return string.format('%.0f:', row.at) .. row.task
end

local function next_place(place)
  return place - place % BAND + redis.call('INCR', SEQUENCE)
end

local function give_slot_back(id, row)
  if has(row, HAS_LIMITS) then
    drop(SLOT .. mark_of(row), id)
    drop(ADMITTED .. row.queue, id)
    touched[mark_of(row)] = true
  end
end

local function take_slot(id, row)
  if has(row, HAS_LIMITS) then
    add(SLOT .. mark_of(row), 0, id)
    if row.state == RUNNABLE then
      add(ADMITTED .. row.queue, row.place, id)
    end
  end
end

-- ``popped``: it was taken out of the list of its state already.
local function leave(id, row, popped)
  local state = row.state
  count(row.queue, state, -1)
  if state < RUNNING and row.expires > 0 then
    drop(EXPIRY, id)
  end
  if state == RUNNABLE or state == RUNNING then
    give_slot_back(id, row)
  end
  if popped then
    return
  elseif state == RUNNABLE then
    drop(READY .. row.queue, id)
  elseif state == RUNNING then
    drop(RUN .. row.worker, id)
    holders[row.worker] = true
    if has(row, HAS_REASON) then
      redis.call('SREM', ASKED, id)
    end
  elseif state == SCHEDULED then
    drop(DUE, id)
  elseif state == BLOCKED and row.at > 0 then
    list_in(parked, parked_for(row))[id] = false
  elseif state == BLOCKED then
    drop(LINE .. line_of(row), id)
    lines[line_of(row)] = true
  else
    drop(row.keep > 0 and KEPT .. state or ENDED .. state, id)
  end
end

-- From now on it keeps no others out.
local function give_mark_back(id)
  local mark = redis.call('HGET', MARKS, id)
  if mark and redis.call('HGET', UNIQUES, mark) == id then
    redis.call('HDEL', UNIQUES, mark)
  end
end

-- Keep others out, unless another does; returns who does.
local function take_mark(id, mark)
  local other = redis.call('HGET', UNIQUES, mark)
  if not other then
    redis.call('HSET', UNIQUES, mark, id)
  end
  return other or id
end

local function enter(id, row, state)
  row.state = state
  if is_finished(state) and has(row, IS_UNIQUE) then
    give_mark_back(id)
  end
  if state == RUNNABLE then
    row.at = 0
  end
  count(row.queue, state, 1)
  add(IDS, state, id)
  if state < RUNNING and row.expires > 0 then
    add(EXPIRY, row.expires, id)
  end
  if state == RUNNABLE or state == RUNNING then
    take_slot(id, row)
  end
  if state == RUNNABLE then
    local list = list_in(queued, row.queue)
    list[#list + 1] = row.place
    list[#list + 1] = id
  elseif state == RUNNING then
    add(RUN .. row.worker, row.at, id)
    holders[row.worker] = true
  elseif state == SCHEDULED then
    add(DUE, row.at, id)
  elseif state == BLOCKED and row.at > 0 then
    list_in(parked, parked_for(row))[id] = true
  elseif state == BLOCKED then
    add(LINE .. line_of(row), row.place, id)
    lines[line_of(row)], touched[mark_of(row)] = true, true
  elseif row.keep > 0 then
    add(KEPT .. state, row.keep, id)
  else
    add(ENDED .. state, row.at, id)
  end
  rows_to_write[#rows_to_write + 1] = id
  rows_to_write[#rows_to_write + 1] = write(row)
end

-- Its time has come: it is ready, or waits for a slot.
local function queue_up(id, row)
  row.at = 0
  enter(id, row, has(row, HAS_LIMITS) and BLOCKED or RUNNABLE)
end

-- It ends without having run; a failed job, which ran, keeps what is known of that.
local function finish(id, row, state)
  leave(id, row)
  if row.state ~= FAILED then
    row.started, row.worker = 0, ''
  end
  row.at = NOW
  enter(id, row, state)
  tally(row, ENDINGS[state], 1)
end

local function give_reason(id, row, reason)
  mark(row, HAS_REASON, true)
  redis.call('HSET', REASONS, id, reason)
end

local function take_reason(id, row)
  if has(row, HAS_REASON) then
    mark(row, HAS_REASON, false)
    redis.call('HDEL', REASONS, id)
  end
end

-- One entry of a job's history; ``failure`` is as the client packed it.
local function remember(id, row, worker, started, counted, failure)
  mark(row, HAS_HISTORY, true)
  redis.call('RPUSH', HISTORY .. id, struct.pack('>BddHc0', counted, started, NOW, #worker, worker) .. failure)
end

-- Rows by id, of those ids that exist and whose format is known, each once; and the ids in their order.
local function load(ids)
  local rows, known = {}, {}
  for at, raw in ipairs(many('HMGET', ROWS, ids)) do
    local id = ids[at]
    if is_known(raw) and not rows[id] then
      rows[id] = read(raw)
      known[#known + 1] = id
    end
  end
  return rows, known
end
