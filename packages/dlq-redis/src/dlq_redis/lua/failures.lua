#!lua flags=no-writes
-- Failed jobs by task and exception, of some of the newest.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, of no meaning here; [2] the id that all are below, or empty; [3] how many to look at, at most
-- Reply: the last id that was looked at, or nothing when there are no more; how many were looked at; of each group: task,
--        exception, how many, the highest id, when the last of them failed
--: include keys rows batch order line filter

local next_id = line_of({ [tostring(FAILED)] = true }, ARGV[2], '')
local budget, looked_at, groups, order = tonumber(ARGV[3]), 0, {}, {}
local id, following = nil, next_id()
while following and looked_at < budget do
  id, following = following, next_id()
  looked_at = looked_at + 1
  local row = read(redis.call('HGET', ROWS, id))
  if row then
    local exception = last_exception(id, row)
    local key = #row.task .. ':' .. row.task .. exception
    if not groups[key] then
      groups[key] = { row.task, exception, 0, id, 0 }
      order[#order + 1] = groups[key]
    end
    groups[key][3] = groups[key][3] + 1
    groups[key][5] = math.max(groups[key][5], row.at)
  end
end
for _, group in ipairs(order) do
  group[5] = string.format('%.0f', group[5])
end
return { following and (id or '') or false, looked_at, order }
