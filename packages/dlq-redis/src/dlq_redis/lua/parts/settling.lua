-- What becomes of a claim that comes back.
local OUTCOME = '>c16I4BBBHdddI4c0I4c0I4c0'
local ATTEMPT, INTERRUPTION = 1, 2
local WITH_RESULT, WITH_FAILURE, WITH_REASON, WITH_KEEP = 1, 2, 4, 8

local function unpacked(raw)
  local said = {}
  said.id, said.token, said.state, said.counted, said.flags, said.version, said.delay, said.seconds, said.keep,
    said.result, said.failure, said.reason = struct.unpack(OUTCOME, raw)
  return said
end

local function end_with(id, row, said, state)
  row.at = NOW
  row.keep = has(said, WITH_KEEP) and math.max(1, NOW + said.keep) or 0
  if state ~= CANCELLED then
    take_reason(id, row)
  elseif has(said, WITH_REASON) and not has(row, HAS_REASON) then
    give_reason(id, row, said.reason)
  end
  mark(row, HAS_RESULT, has(said, WITH_RESULT))
  row.result = said.result
end

local function wait_again(row, said, state)
  row.worker, row.started = '', 0
  if state == SCHEDULED then
    row.at = NOW + said.delay
  elseif state == BLOCKED then
    row.at = said.version
  elseif state == RUNNABLE and said.counted == ATTEMPT then
    row.place = next_place(row.place)
  end
end

local function tally_outcome(row, said)
  if ENDINGS[row.state] then
    tally(row, ENDINGS[row.state], 1)
  elseif said.counted == ATTEMPT then
    tally(row, 'r', 1)
  end
  if said.counted == INTERRUPTION then
    tally(row, 'i', 1)
  end
  if said.seconds > 0 then
    tally(row, 't', said.seconds)
  end
end

local function settle(id, row, said, by)
  leave(id, row)
  row.settled, row.by = said.token, by
  row.started = said.counted == INTERRUPTION and row.at or NOW - said.seconds
  if said.counted == ATTEMPT then
    row.attempts = row.attempts + 1
  elseif said.counted == INTERRUPTION then
    row.interruptions = row.interruptions + 1
  end
  if has(said, WITH_FAILURE) then
    remember(id, row, row.worker, row.started, said.counted, said.failure)
  end
  local state = said.state
  if not is_finished(state) and has(row, HAS_REASON) then
    state = CANCELLED  -- Whoever asked to cancel it does not want it to wait for another attempt.
  end
  if is_finished(state) then
    end_with(id, row, said, state)
  else
    wait_again(row, said, state)
  end
  if state == RUNNABLE and said.counted == ATTEMPT then
    queue_up(id, row)  -- A retry needs a slot anew; whoever keeps the place keeps the slot too.
  else
    enter(id, row, state)
  end
  tally_outcome(row, said)
end
