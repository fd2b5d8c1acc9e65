-- Holds a request whose backend has no usable server, until the row of its bucket leads to a slot that has one. The settings
-- limit how long a request waits and how many wait. It runs inside HAProxy, so requests wait through a restart of the agent.
local buckets = Map.new(os.getenv("LLMD_RUN_DIR") .. "/buckets.map", Map._int)
local forced = Map.new(os.getenv("LLMD_RUN_DIR") .. "/forced.map", Map._str)

-- Waiting requests by number, with the time of their latest check. A request whose client leaves ends without a notice, so an
-- entry counts only while it is fresh.
local waiting = {}
local count = 0
local next_number = 0
local swept = 0
local refused = {full = 0, timeout = 0}
-- An id of this process: in a container the process before it had the same pid.
local process = string.format("%d-%s", os.time(), tostring(waiting):match("0x(%x+)") or "")

local function now_ms()
  local now = core.now()
  return now.sec * 1000 + now.usec // 1000
end

local function nap_ms()
  return 20 + count // 10
end

local function sweep(now)
  if now - swept < 100 then return end
  swept = now
  local left = 0
  for number, seen in pairs(waiting) do
    if now - seen > 1000 + 5 * nap_ms() then waiting[number] = nil else left = left + 1 end
  end
  count = left
end

-- Whether a slot has a usable server (the hold is a backup and does not count); read at most every 10 ms for all requests.
local usable = {}

local function has_server(slot)
  local known, now = usable[slot], now_ms()
  if not known or now - known.at >= 10 then
    known = {at = now, yes = (tonumber(core.backends[slot]:get_stats().act) or 0) > 0}
    usable[slot] = known
  end
  return known.yes
end

-- The same rule as in haproxy.cfg: the client's own bucket if it belongs to the chosen arm, else one of the arm's buckets.
local function row_of_arm(arm, offer, bucket)
  local low, width = offer:match("^(%d+)|(%d+)$")
  low, width, bucket = tonumber(low), tonumber(width), tonumber(bucket)
  local inside = bucket >= low and bucket < low + width
  local row = buckets:lookup(tostring(inside and bucket or low + bucket % width))
  -- The maps change one after the other.
  return row and row:match("^[^|]*") == arm and row or nil
end

-- The row of a request. The second result is true if the routes have rows, but not the chosen revision or arm.
local function row_of(bucket, choice)
  if choice == "" then return bucket and buckets:lookup(bucket), false end
  local offer = forced:lookup(choice)
  if not offer then return nil, forced:lookup("revisions") ~= nil end
  local arm = choice:match("^arm:(.*)")
  return arm and row_of_arm(arm, offer, bucket) or not arm and offer or nil, false
end

local function usable_row(bucket, choice)
  local row, unknown = row_of(bucket, choice)
  if unknown then return nil, true end
  local slot = row and row:match("|([^|]*)$")
  if slot and core.backends[slot] and has_server(slot) then return row, false end
  return nil, false
end

local function refuse(txn, why, sentence)
  refused[why] = refused[why] + 1
  txn:set_var("txn.refusal", sentence)
end

local function wait(txn)
  local bucket, choice = txn.sf:req_hdr("x-llm-bucket"), txn.sf:req_fhdr("x-llm-choice")
  local seconds = tonumber(txn:get_var("txn.hold_seconds")) or 0
  local limit = tonumber(txn:get_var("txn.hold_requests")) or 0
  local now = now_ms()
  local deadline = tonumber(txn.sf:req_hdr("x-llm-deadline")) or (now + seconds * 1000)
  txn:set_var("txn.deadline", string.format("%d", deadline))

  local row, unknown = usable_row(bucket, choice)
  if row then return txn:set_var("txn.row", row) end
  if unknown then return txn:set_var("txn.unknown", true) end
  sweep(now)
  if count >= limit then
    return refuse(txn, "full", string.format("No replica is ready, and %d requests wait already, which is the limit. Send the request again later.", limit))
  end
  next_number = next_number + 1
  local number = next_number
  waiting[number] = now
  count = count + 1
  while not row and not unknown and now < deadline do
    core.msleep(nap_ms())
    now = now_ms()
    if waiting[number] == nil then count = count + 1 end
    waiting[number] = now
    row, unknown = usable_row(bucket, choice)
  end
  waiting[number] = nil
  count = count - 1
  if row then
    txn:set_var("txn.row", row)
  elseif unknown then
    txn:set_var("txn.unknown", true)
  else
    refuse(txn, "timeout", string.format("No replica became ready within %d s. Send the request again later.", seconds))
  end
end

-- Milliseconds that a request has been held, in this hold and in those before it.
local function hold(txn)
  local before, began = tonumber(txn.sf:req_hdr("x-llm-held")) or 0, now_ms()
  wait(txn)
  txn:set_var("txn.held", string.format("%d", before + now_ms() - began))
end

core.register_action("hold", {"http-req"}, hold)
core.register_cli({"show", "hold"}, "show hold: requests that wait, and requests that were refused", function(applet)
  sweep(now_ms())
  applet:send(string.format("process %s\nheld %d\nfull %d\ntimeout %d\n", process, count, refused.full, refused.timeout))
end)

-- Answers 413 after it has read the body, because many clients read an answer only after they have sent everything.
core.register_service("too_large", "http", function(applet)
  local sentence = applet:get_var("txn.too_large")
  while true do
    local part = applet:receive(65536)
    if part == nil or part == "" then break end
  end
  local body = string.format('{"error": {"message": "%s", "type": "invalid_request_error", "param": null, "code": "body_too_large"}}', sentence)
  applet:set_status(413)
  applet:add_header("content-type", "application/json")
  applet:add_header("content-length", tostring(#body))
  applet:start_response()
  applet:send(body)
end)
