-- A row: what changes of a job, packed. dlq_redis/rows.py reads the same format. Times are microseconds; 0 is none.
-- What never changes is in DATA, as the client wrote it: payload bytes are carried here and never read.
local SCHEDULED, BLOCKED, RUNNABLE, RUNNING, SUCCEEDED, FAILED, CANCELLED = 1, 2, 3, 4, 5, 6, 7
local HAS_HISTORY, HAS_LOG, HAS_NOTE, HAS_REASON, HAS_RESULT, HAS_TIMES, HAS_LIMITS = 1, 2, 4, 8, 16, 32, 64
-- It is, or was to be, unique by what MARKS has.
local IS_UNIQUE = 128
local FORMAT, TIMES, LIMITS = '>BBBI4I4HHdddHc0Hc0Hc0Hc0', '>ddd', '>Hc0'
-- What a job with limits begins with: the mark of its key, that of its queue, and the letter of its policy.
local MARK_LENGTH, LINE_LENGTH = 16, 33
-- The format may change only so that the version before still reads it, for both run together during a deploy.
local VERSION = 1
-- The data of a job whose own somebody has deleted: a worker that runs it finds that there is nothing to read.
local NOTHING = struct.pack('>BBI4I4', 1, 0, 1, 2)
-- A place in a queue is one number: 201 priorities, the highest first, with room for 2^45 places in each.
local BAND = 35184372088832

local function has(row, flag)
  return math.floor(row.flags / flag) % 2 == 1
end

local function mark(row, flag, on)
  if has(row, flag) ~= on then
    row.flags = row.flags + (on and flag or -flag)
  end
end

-- Who does not know a row's format leaves the job to those who do, in its place.
local function is_known(raw)
  return raw and string.byte(raw) <= VERSION
end

local function read(raw)
  if not is_known(raw) then
    return nil
  end
  local row, rest, _ = { at = 0, started = 0, keep = 0 }, nil, nil
  _, row.state, row.flags, row.token, row.settled, row.attempts, row.interruptions, row.place, row.enqueued,
    row.expires, row.queue, row.task, row.worker, row.by, rest = struct.unpack(FORMAT, raw)
  if has(row, HAS_TIMES) then
    row.at, row.started, row.keep, rest = struct.unpack(TIMES, raw, rest)
  end
  if has(row, HAS_LIMITS) then
    row.limits, rest = struct.unpack(LIMITS, raw, rest)
  end
  row.result = string.sub(raw, rest)
  return row
end

local function write(row)
  local times = row.at ~= 0 or row.started ~= 0 or row.keep ~= 0
  mark(row, HAS_TIMES, times)
  return struct.pack(FORMAT, VERSION, row.state, row.flags, row.token, row.settled, math.min(row.attempts, 65535),
    math.min(row.interruptions, 65535), row.place, row.enqueued, row.expires, #row.queue, row.queue, #row.task,
    row.task, #row.worker, row.worker, #row.by, row.by)
    .. (times and struct.pack(TIMES, row.at, row.started, row.keep) or '')
    .. (has(row, HAS_LIMITS) and struct.pack(LIMITS, #row.limits, row.limits) or '') .. row.result
end

local function line_of(row)
  return string.sub(row.limits, 1, LINE_LENGTH)
end

local function mark_of(row)
  return string.sub(row.limits, 1, MARK_LENGTH)
end

local function is_finished(state)
  return state >= SUCCEEDED
end
