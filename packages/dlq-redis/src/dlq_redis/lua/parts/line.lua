-- The jobs of some states in the order of their ids. IDS is sorted by state and then by id: of one state it holds a list
-- by id, and lists of several states are merged.
local PAGE = 100

-- The rank in IDS of the first job of a state, of the first whose id is not below the given one, and of the last.
local function ranks_of(state, id)
  local first = redis.call('ZCOUNT', IDS, '-inf', '(' .. state)
  local last = first + redis.call('ZCOUNT', IDS, state, state) - 1
  local low, high = first, last
  while id ~= '' and low <= high do
    local middle = math.floor((low + high) / 2)
    if is_below(redis.call('ZRANGE', IDS, middle, middle)[1], id) then
      low = middle + 1
    else
      high = middle - 1
    end
  end
  return first, low, last
end

-- Those below ``before``, all if it is empty, by descending id; or, if that is given, those above ``after``, by ascending
-- id. The value is a function that gives the next id.
local function line_of(states, before, after)
  local heads, up = {}, after ~= ''
  for state = 1, 7 do
    if not states or states[tostring(state)] then
      local first, rank, last = ranks_of(state, up and after or before)
      if up then
        first = redis.call('ZRANGE', IDS, rank, rank)[1] == after and rank + 1 or rank
      elseif before ~= '' then
        last = rank - 1
      end
      heads[#heads + 1] = { first = first, last = last, page = {} }
    end
  end

  local function top(head)
    if #head.page == 0 and head.last >= head.first then
      if up then
        local to = math.min(head.last, head.first + PAGE - 1)
        local ids = redis.call('ZRANGE', IDS, head.first, to)
        for at = #ids, 1, -1 do
          head.page[#head.page + 1] = ids[at]
        end
        head.first = to + 1
      else
        local from = math.max(head.first, head.last - PAGE + 1)
        head.page, head.last = redis.call('ZRANGE', IDS, from, head.last), from - 1
      end
    end
    return head.page[#head.page]
  end

  return function()
    local best
    for _, head in ipairs(heads) do
      local id = top(head)
      if id and (not best or is_below(top(best), id) ~= up) then
        best = head
      end
    end
    return best and table.remove(best.page)
  end
end
