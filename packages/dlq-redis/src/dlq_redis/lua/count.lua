#!lua flags=no-writes
-- How many jobs fit a filter.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, of no meaning here; [2] the id that all are below, or empty; [3] how many to look at, at most; then the
--        filter, see parts/filter.lua
-- Reply: the last id that was looked at, or nothing when there are no more; how many were looked at; how many fit
--: include keys rows batch order line filter

read_filter(4)
local next_id = line_of(filter.states, ARGV[2], '')
local budget, looked_at, number = tonumber(ARGV[3]), 0, 0
local id, following = nil, next_id()
while following and looked_at < budget do
  id, following = following, next_id()
  looked_at = looked_at + 1
  if fits(id) then
    number = number + 1
  end
end
return { following and (id or '') or false, looked_at, number }
