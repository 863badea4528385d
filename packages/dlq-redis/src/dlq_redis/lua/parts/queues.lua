-- Names of queues.
local function paused_queues()
  local found, paused = redis.call('HGETALL', PAUSES), {}
  for at = 1, #found, 2 do
    if found[at + 1] == '' or tonumber(found[at + 1]) > NOW then
      paused[found[at]] = true
    end
  end
  return paused
end

local function ready_queues(paused)
  local ready = {}
  for _, queue in ipairs(redis.call('HKEYS', COUNT .. '3')) do
    if not paused[queue] then
      ready[#ready + 1] = queue
    end
  end
  return ready
end
