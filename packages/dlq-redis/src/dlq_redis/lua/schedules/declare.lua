#!lua flags=allow-oom
-- Say of static schedules that they are still to exist.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, or empty; then keys
-- Reply: those that exist and are not orphaned
--: include keys clock rows batch schedules

local found, known = find(keys_from(2))
local declared = {}
for _, key in ipairs(known) do
  local standing = found[key]
  if kind_of(standing.definition) == 'static' and not has(standing, ORPHANED) then
    standing.declared_at = NOW
    keep(key, standing)
    declared[#declared + 1] = key
  end
end
flush()
return declared
