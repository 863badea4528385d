#!lua flags=allow-oom
-- Forget schedules that are dynamic or orphaned. Their fires stay.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, of no meaning here; then keys
-- Reply: those that are forgotten
--: include keys rows batch schedules

local found, known = find(keys_from(2))
local removed = {}
for _, key in ipairs(known) do
  local kind = kind_of(found[key].definition)
  if kind == 'dynamic' or has(found[key], ORPHANED) then
    drop(AGENDA, key)
    drop(LISTED .. kind, key)
    removed[#removed + 1] = key
  end
end
flush()
in_parts('HDEL', SCHEDULES, removed)
in_parts('HDEL', STANDINGS, removed)
return removed
