#!lua flags=no-writes
-- Jobs that fit a filter, by descending id.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, of no meaning here; [2] the id that all are below, or empty; [3] the id that all are above, which has
--        them come by ascending id, or empty; [4] how many at most; [5] how many to look at, at most; then the filter,
--        see parts/filter.lua
-- Reply: the last id that was looked at, or nothing when there are no more; how many were looked at; records as get.lua
--        gives them
--: include keys rows batch records order line filter

read_filter(6)
local next_id = line_of(filter.states, ARGV[2], ARGV[3])
local limit, budget, looked_at, found = tonumber(ARGV[4]), tonumber(ARGV[5]), 0, {}
local id, following = nil, next_id()
while following and #found < limit and looked_at < budget do
  id, following = following, next_id()
  looked_at = looked_at + 1
  if fits(id) then
    found[#found + 1] = id
  end
end
return { following and (id or '') or false, looked_at, records(found, false) }
