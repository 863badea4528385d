-- Writes are collected and done at the end, few commands for many jobs; reading comes before writing, so that an
-- error leaves nothing half done. Removals go first: in one script a job may leave a key and enter it again.
local MOST = 1000  -- values in one command: Lua's stack has an end
local added, dropped, rows_to_write, changes, queued, parked, holders, tallied = {}, {}, {}, {}, {}, {}, {}, {}
local lines, touched = {}, {}

local function list_in(lists, key)
  local list = lists[key]
  if not list then
    list = {}
    lists[key] = list
  end
  return list
end

local function add(key, score, id)
  local list = list_in(added, key)
  list[#list + 1] = score
  list[#list + 1] = id
end

local function drop(key, id)
  local list = list_in(dropped, key)
  list[#list + 1] = id
end

local function count(queue, state, by)
  local counts = list_in(changes, state)
  counts[queue] = (counts[queue] or 0) + by
end

-- What has happened to a job is counted for ever and by the minute. A figure is one letter: see dlq_redis/tallies.py.
local function tally(row, figure, by)
  local figures = list_in(list_in(tallied, row.queue), row.task)
  figures[figure] = (figures[figure] or 0) + by
end

local function write_tallies()
  if not next(tallied) then
    return
  end
  local minute, is_new = string.format('%.0f', math.floor(NOW / 60000000)), false
  for queue, tasks in pairs(tallied) do
    for task, figures in pairs(tasks) do
      for figure, by in pairs(figures) do
        local name = struct.pack('>c1Hc0Hc0', figure, #queue, queue, #task, task)
        redis.call('HINCRBY', TOTALS, name, string.format('%.0f', by))
        is_new = redis.call('HINCRBY', TALLY .. minute, name, string.format('%.0f', by)) == by or is_new
      end
    end
  end
  if is_new then
    redis.call('ZADD', MINUTES, minute, minute)
  end
end

local function in_parts(command, key, list)
  for at = 1, #list, MOST do
    redis.call(command, key, unpack(list, at, math.min(at + MOST - 1, #list)))
  end
end

local function many(command, key, list)
  if #list <= MOST then
    return #list > 0 and redis.call(command, key, unpack(list)) or {}
  end
  local found = {}
  for at = 1, #list, MOST do
    for _, value in ipairs(redis.call(command, key, unpack(list, at, math.min(at + MOST - 1, #list)))) do
      found[#found + 1] = value
    end
  end
  return found
end

-- The keys of which slots were given back, or for which jobs have begun to wait, since this was asked last.
local function take_touched()
  local marks = {}
  for mark in pairs(touched) do
    marks[#marks + 1] = mark
  end
  touched = {}
  table.sort(marks)
  return marks
end

-- Whoever waits for jobs is told when a queue has some again. A queue that had some is known to have.
local function tell(queues)
  if #queues > 0 then
    local entry = {}
    for _, queue in ipairs(queues) do
      entry[#entry + 1] = queue
      entry[#entry + 1] = ''
    end
    redis.call('XADD', WAKE, 'MAXLEN', '~', '100', '*', unpack(entry, 1, math.min(#entry, MOST)))
    redis.call('EXPIRE', WAKE, 3600)
  end
end

local function flush()
  for key, list in pairs(dropped) do
    in_parts('ZREM', key, list)
  end
  local woken = {}
  for queue, list in pairs(queued) do
    if redis.call('EXISTS', READY .. queue) == 0 then
      woken[#woken + 1] = queue
    end
    in_parts('ZADD', READY .. queue, list)
  end
  for key, list in pairs(added) do
    in_parts('ZADD', key, list)
  end
  for version, jobs in pairs(parked) do
    for id, is_in in pairs(jobs) do
      redis.call(is_in and 'SADD' or 'SREM', PARKED .. ':' .. version, id)
    end
    redis.call(redis.call('EXISTS', PARKED .. ':' .. version) == 1 and 'SADD' or 'SREM', PARKED, version)
  end
  for worker in pairs(holders) do
    redis.call(redis.call('EXISTS', RUN .. worker) == 1 and 'SADD' or 'SREM', HOLDERS, worker)
  end
  for line in pairs(lines) do
    redis.call('ZREM', LINES, line)
    if redis.call('EXISTS', LINE .. line) == 1 then
      redis.call('ZADD', LINES, 0, line)
    end
  end
  for mark in pairs(touched) do
    redis.call('SADD', OPEN, mark)
  end
  in_parts('HSET', ROWS, rows_to_write)
  for state, counts in pairs(changes) do
    for queue, by in pairs(counts) do
      if by ~= 0 and redis.call('HINCRBY', COUNT .. state, queue, by) == 0 then
        redis.call('HDEL', COUNT .. state, queue)
      end
    end
  end
  write_tallies()
  tell(woken)
  added, dropped, rows_to_write, changes, queued, parked, holders, tallied = {}, {}, {}, {}, {}, {}, {}, {}
  lines = {}
end
