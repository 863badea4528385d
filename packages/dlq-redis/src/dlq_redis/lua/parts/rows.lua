-- A row: what changes of a job, packed. dlq_redis/rows.py reads the same format. Times are microseconds; 0 is none.
-- What never changes is in DATA, as the client wrote it: payload bytes are carried here and never read.
local SCHEDULED, BLOCKED, RUNNABLE, RUNNING, SUCCEEDED, FAILED, CANCELLED = 1, 2, 3, 4, 5, 6, 7
local HAS_HISTORY, HAS_LOG, HAS_NOTE, HAS_REASON, HAS_RESULT = 1, 2, 4, 8, 16
local FORMAT = '>BBBI4I4I4I4ddddddHc0Hc0Hc0Hc0'
local VERSION = 1
-- A place in a queue is one number: 201 priorities, the highest first, with room for 2^45 places in each.
local BAND = 35184372088832

local function read(raw)
  if string.byte(raw) > VERSION then
    error({ err = 'NEWER a job was written by a newer version of dlq-redis' })
  end
  local row, result = {}, nil
  local _
  _, row.state, row.flags, row.token, row.settled, row.attempts, row.interruptions, row.place, row.enqueued,
    row.expires, row.at, row.started, row.keep, row.queue, row.task, row.worker, row.by, result =
    struct.unpack(FORMAT, raw)
  row.result = string.sub(raw, result)
  return row
end

local function write(row)
  return struct.pack(FORMAT, VERSION, row.state, row.flags, row.token, row.settled, row.attempts, row.interruptions,
    row.place, row.enqueued, row.expires, row.at, row.started, row.keep, #row.queue, row.queue, #row.task, row.task,
    #row.worker, row.worker, #row.by, row.by) .. row.result
end

local function has(row, flag)
  return math.floor(row.flags / flag) % 2 == 1
end

local function mark(row, flag, on)
  if has(row, flag) ~= on then
    row.flags = row.flags + (on and flag or -flag)
  end
end

local function is_finished(state)
  return state >= SUCCEEDED
end
