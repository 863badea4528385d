-- Which jobs fit a filter. Its parts come in ARGV, as ``dlq_redis/filters.py`` writes them: of states, queues, tasks,
-- workers and exceptions, each: how many, or -1 for all, and these; the microseconds of the epoch from which on, and
-- before which, jobs were enqueued, or empty; how many entries metadata must have, and of each entry how many texts
-- stand for it, and these; how many texts to look for in arguments, 0 for none, these, the text to look for in the path
-- of the task, and the first and the last id that may do instead, or empty.
local filter = {}

local function read_filter(at)
  local function take()
    at = at + 1
    return ARGV[at - 1]
  end
  local function list()
    local values = {}
    for index = 1, tonumber(take()) do
      values[index] = take()
    end
    return values
  end
  local function chosen()
    local number = tonumber(take())
    if number < 0 then
      return nil
    end
    local set = {}
    for _ = 1, number do
      set[take()] = true
    end
    return set
  end
  filter.states, filter.queues, filter.tasks, filter.workers, filter.exceptions = chosen(), chosen(), chosen(),
    chosen(), chosen()
  filter.since, filter.before, filter.metadata = tonumber(take()), tonumber(take()), {}
  for index = 1, tonumber(take()) do
    filter.metadata[index] = list()
  end
  filter.needles, filter.path, filter.first, filter.last = list(), take(), take(), take()
  filter.rows = filter.queues or filter.tasks or filter.workers or filter.since or filter.before or filter.exceptions
  filter.data = #filter.metadata > 0 or #filter.needles > 0
end

-- Metadata and arguments, out of what ``dlq_redis/data.py`` packs.
local function texts_of(data)
  local _, flags, rest = struct.unpack('>BBI4I4', data)
  local at, metadata, length = 11, '', nil
  if flags % 2 == 1 then
    at = at + 8
  end
  if math.floor(flags / 2) % 2 == 1 then
    length = struct.unpack('>I4', data, at)
    at = at + 4 + length
  end
  if math.floor(flags / 4) % 2 == 1 then
    length = struct.unpack('>I4', data, at)
    metadata = string.sub(data, at + 4, at + 3 + length)
    at = at + 4 + length
  end
  return metadata, string.sub(data, at)
end

local function has_any(text, needles)
  for _, needle in ipairs(needles) do
    if string.find(text, needle, 1, true) then
      return true
    end
  end
  return false
end

-- The exception of the last attempt in a job's history, as ``exchange.lua`` and ``look.lua`` put entries together.
local function last_exception(id, row)
  local entry = has(row, HAS_HISTORY) and redis.call('LINDEX', HISTORY .. id, -1)
  if not entry then
    return ''
  end
  local _, _, _, _, rest = struct.unpack('>BddHc0', entry)
  if string.byte(entry, rest) == 1 then
    return 'dlq.errors.Expired'
  end
  return (struct.unpack('>Hc0', entry, rest + 1))
end

local function row_fits(id, row)
  return (not filter.queues or filter.queues[row.queue]) and (not filter.tasks or filter.tasks[row.task])
    and (not filter.workers or filter.workers[row.worker])
    and (not filter.since or row.enqueued >= filter.since)
    and (not filter.before or row.enqueued < filter.before)
    and (not filter.exceptions or filter.exceptions[last_exception(id, row)])
end

local function data_fits(id, row)
  local metadata, arguments = texts_of(redis.call('HGET', DATA, id))
  if #filter.metadata > 0 and has(row, HAS_NOTE) then
    metadata = redis.call('HGET', NOTE .. id, 'metadata') or metadata
  end
  for _, entry in ipairs(filter.metadata) do
    if not has_any(metadata, entry) then
      return false
    end
  end
  if #filter.needles == 0 or has_any(string.lower(arguments), filter.needles) then
    return true
  end
  local in_range = filter.first ~= '' and not is_below(id, filter.first) and not is_below(filter.last, id)
  return in_range or string.find(string.lower(row.task), filter.path, 1, true)
end

local function fits(id)
  if not (filter.rows or filter.data) then
    return true
  end
  local row = read(redis.call('HGET', ROWS, id))
  return row and row_fits(id, row) and (not filter.data or data_fits(id, row))
end
