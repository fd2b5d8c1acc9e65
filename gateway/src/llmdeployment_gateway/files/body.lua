-- Finds the field of a request's JSON body that the request is assigned by. It reads no further than it must, and does not check
-- the values of the fields before. Loaded once per thread, so that threads do not wait for one another.
local LONGEST_KEY = 256
local QUOTE, OPEN_BRACE, OPEN_BRACKET = 34, 123, 91
local ESCAPES = {b = "\b", f = "\f", n = "\n", r = "\r", t = "\t"}

-- The JSON with its escapes blanked, so that every remaining quote begins or ends a string. Positions do not change.
local function blanked(json)
  if not json:find('\\"', 1, true) then return json end
  return (json:gsub("\\.", "__"))
end

-- The position after the closing quote of a string whose first character is at `from`; nil if the string does not end.
local function after_string(blank, from)
  local quote = blank:find('"', from, true)
  return quote and quote + 1
end

local function after_container(blank, from)
  local depth = 0
  while true do
    local at = blank:find('[%[%]{}"]', from)
    if not at then return nil end
    local char = blank:byte(at)
    if char == QUOTE then
      from = after_string(blank, at + 1)
      if not from then return nil end
    else
      depth = depth + ((char == OPEN_BRACE or char == OPEN_BRACKET) and 1 or -1)
      from = at + 1
      if depth == 0 then return from end
    end
  end
end

local function after_value(blank, from)
  local char = blank:byte(from)
  if char == QUOTE then return after_string(blank, from + 1) end
  if char == OPEN_BRACE or char == OPEN_BRACKET then return after_container(blank, from) end
  return blank:match("^[^,}%]]+()", from)
end

-- JSON writes characters beyond U+FFFF as two escapes, which gsub turns into two halves of three bytes each.
local function joined(high2, high3, low2, low3)
  local high = (high2:byte() & 0x0F) << 6 | high3:byte() & 0x3F
  local low = (low2:byte() & 0x0F) << 6 | low3:byte() & 0x3F
  return utf8.char(0x10000 + (high << 10) + low)
end

local function unescaped(text)
  if not text:find("\\", 1, true) then return text end
  text = text:gsub("\\(.)(%x?%x?%x?%x?)", function(char, hex)
    if char == "u" and #hex == 4 then return utf8.char(tonumber(hex, 16)) end
    return (ESCAPES[char] or char) .. hex
  end)
  return (text:gsub("\xED([\xA0-\xAF])([\x80-\xBF])\xED([\xB0-\xBF])([\x80-\xBF])", joined))
end

-- A string's text, or a number as it is written; nil for everything else. The second result is true when the text ends too early.
local function scalar(json, blank, from)
  if json:byte(from) == QUOTE then
    local after = after_string(blank, from + 1)
    if not after then return nil, true end
    return unescaped(json:sub(from + 1, after - 2)), false
  end
  local number, delimiter = json:match("^(%-?%d[%d.eE+-]*)%s*(.?)", from)
  if delimiter == "" then return nil, true end
  return number, false
end

local function field(json, name)
  local from = json:match("^%s*{()")
  if not from then return nil, false end
  local blank = blanked(json)
  while true do
    local key = json:match('^[%s,]*"()', from)
    if not key then return nil, json:match("^[%s,]*$", from) ~= nil end
    local after = after_string(blank, key)
    local value = after and json:match("^%s*:%s*()", after)
    if not value then return nil, true end
    if json:sub(key, after - 2) == name then return scalar(json, blank, value) end
    from = after_value(blank, value)
    if not from then return nil, true end
  end
end

core.register_action("body_key", {"http-req"}, function(txn, name)
  local value, unfinished = field(txn.f:req_body(), name)
  if unfinished then
    txn:set_var("txn.unfinished", true)
  elseif value and #value > 0 and #value <= LONGEST_KEY then
    txn:set_var("txn.unit", value)
  end
end, 1)
