-- The order of bytes. Not ``<``, which goes by the server's locale.
local function is_below(one, other)
  for index = 1, math.min(#one, #other) do
    local byte, of_other = string.byte(one, index), string.byte(other, index)
    if byte ~= of_other then
      return byte < of_other
    end
  end
  return #one < #other
end
