#!lua flags=allow-oom
-- Have schedules fire no more until they are enabled.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, of no meaning here; then keys
-- Reply: those that were not disabled already
--: include keys rows batch schedules

local found, known = find(keys_from(2))
local disabled = {}
for _, key in ipairs(known) do
  local standing = found[key]
  if has(standing, ENABLED) then
    mark(standing, ENABLED, false)
    stop(key, standing)
    disabled[#disabled + 1] = key
  end
end
flush()
return disabled
