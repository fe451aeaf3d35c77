-- wrk's side of bench/load.py: one method, paths and bodies taken in turn, "@N@" replaced by a number
-- that never comes twice. Arguments after "--": method, file of headers, file of paths, file of bodies.
-- Where If-None-Match is sent it becomes the tag of the last answer, as a browser would have it.

local counter = 0
local threads = {}

function setup(thread)
  thread:set("number", #threads)
  threads[#threads + 1] = thread
end

local function follow(status, received)
  headers["If-None-Match"] = received["ETag"] or received["etag"] or headers["If-None-Match"]
  if status == 304 then unchanged = unchanged + 1 end
end

local function lines_of(name)
  local found = {}
  for line in io.lines(name) do
    if line ~= "" then found[#found + 1] = line end
  end
  return found
end

function init(args)
  method = args[1]
  headers = {}
  for _, line in ipairs(lines_of(args[2])) do
    local name, value = line:match("^([^:]+): (.*)$")
    headers[name] = value
  end
  unchanged = 0
  if headers["If-None-Match"] then response = follow end
  paths = lines_of(args[3])
  bodies = lines_of(args[4])
end

function request()
  counter = counter + 1
  local body = nil
  if #bodies > 0 then
    body = bodies[counter % #bodies + 1]:gsub("@N@", number .. "_" .. counter)
  end
  return wrk.format(method, paths[counter % #paths + 1], headers, body)
end

function done(summary, latency, requests)
  local errors = summary.errors
  local same = 0
  for _, thread in ipairs(threads) do same = same + thread:get("unchanged") end
  io.write(string.format(
    '\n@@ {"unchanged": %d, "requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "max_ms": %.3f, "bad": %d, "broken": %d}\n',
    same, summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
