-- New jobs come in ARGV, two values each, head and data.
local HEAD = '>c16bddHc0Hc0Hc0'
local UNIQUE_LENGTH, REPLACE = 33, 'replace'

local function ids_in(first, last)
  local ids = {}
  for at = first, last, 2 do
    ids[#ids + 1] = string.sub(ARGV[at], 1, 16)
  end
  return ids
end

local function declare(row)
  if has(row, HAS_LIMITS) then
    redis.call('HSET', SEMAPHORES, mark_of(row), string.sub(row.limits, LINE_LENGTH + 1))
    touched[mark_of(row)] = true
  end
end

-- Returns the job that has the mark now: this one, or the one that had it.
local function mark_as_unique(id, row, unique)
  local unique_mark = string.sub(unique, 1, UNIQUE_LENGTH)
  mark(row, IS_UNIQUE, true)
  redis.call('HSET', MARKS, id, unique_mark)
  return take_mark(id, unique_mark)
end

local function begin(id, row, run_after)
  if run_after > NOW then
    row.at = run_after
    enter(id, row, SCHEDULED)
  else
    queue_up(id, row)
  end
end

local function reject(id, row, holder)
  redis.call('HSET', DUPLICATES, id, holder)
  row.at, row.expires = NOW, 0
  enter(id, row, CANCELLED)
end

-- The job that has the mark becomes what a new one says, if it waits. In its old place, unless that changes.
local function take_over(holder, new, run_after, data)
  local row = read(redis.call('HGET', ROWS, holder))
  if not row or row.state > RUNNABLE then
    return
  end
  local was, waits = row.state, run_after > NOW
  leave(holder, row)
  if waits or was == SCHEDULED or math.floor(row.place / BAND) ~= math.floor(new.place / BAND) then
    row.place = new.place
  end
  row.expires = new.expires
  if was == BLOCKED and row.at > 0 then
    enter(holder, row, BLOCKED)
  else
    begin(holder, row, run_after)
  end
  redis.call('HSET', DATA, holder, data)
  redis.call('HDEL', NOTE .. holder, 'metadata')
  flush()
end

-- Those of these jobs that are duplicates, and of which.
local function duplicates_among(ids)
  local found = {}
  for at, other in ipairs(many('HMGET', DUPLICATES, ids)) do
    if other then
      found[#found + 1] = ids[at]
      found[#found + 1] = other
    end
  end
  return found
end

-- Store those that are not stored yet, and tell which these are. The head of the first of ``ids`` is ARGV[first];
-- ``seen`` has ids that are to be left out.
local function store(first, ids, seen)
  local known, fresh, stored = many('HMGET', ROWS, ids), {}, {}
  for at, id in ipairs(ids) do
    if not known[at] and not seen[id] then
      seen[id] = true
      fresh[#fresh + 1] = first + 2 * (at - 1)
      stored[#stored + 1] = id
    end
  end
  if #fresh == 0 then
    return stored
  end
  local place = redis.call('INCRBY', SEQUENCE, #fresh) - #fresh
  local data = {}
  for _, at in ipairs(fresh) do
    local id, priority, run_after, expires, queue, task, unique, rest = struct.unpack(HEAD, ARGV[at])
    local limits = string.sub(ARGV[at], rest)
    place = place + 1
    local row = {
      flags = 0, token = 0, settled = 0, attempts = 0, interruptions = 0, place = (100 - priority) * BAND + place,
      enqueued = NOW, expires = expires > 0 and NOW + expires or 0, at = 0, started = 0, keep = 0, queue = queue,
      task = task, worker = '', by = '', result = '', limits = limits,
    }
    mark(row, HAS_LIMITS, limits ~= '')
    data[#data + 1] = id
    data[#data + 1] = ARGV[at + 1]
    local holder = unique ~= '' and mark_as_unique(id, row, unique) or id
    if holder == id then
      tally(row, 'e', 1)
      declare(row)
      begin(id, row, run_after)
    else
      if string.sub(unique, UNIQUE_LENGTH + 1) == REPLACE then
        in_parts('HSET', DATA, data)  -- The other may be one of these.
        flush()
        data = {}
        take_over(holder, row, run_after, ARGV[at + 1])
      end
      reject(id, row, holder)
    end
  end
  in_parts('HSET', DATA, data)
  flush()
  admit_touched()
  return stored
end
