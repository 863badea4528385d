#!lua flags=allow-oom
-- Stop static schedules that nobody has declared since.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, of no meaning here; then for each schedule two: key; when it was declared, as it was seen
-- Reply: those that were stopped
--: include keys rows batch schedules

local keys, seen = {}, {}
for at = 2, #ARGV, 2 do
  keys[#keys + 1] = ARGV[at]
  seen[ARGV[at]] = tonumber(ARGV[at + 1])
end
local found, known = find(keys)
local orphaned = {}
for _, key in ipairs(known) do
  local standing = found[key]
  if kind_of(standing.definition) == 'static' and not has(standing, ORPHANED) and standing.declared_at == seen[key] then
    mark(standing, ORPHANED, true)
    stop(key, standing)
    orphaned[#orphaned + 1] = key
  end
end
flush()
return orphaned
