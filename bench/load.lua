-- wrk's side of bench/load.py: one method, paths and bodies taken in turn, "@N@" replaced by a number
-- that never comes twice. Arguments after "--": method, file of headers, file of paths, file of bodies.

local counter = 0
local threads = 0

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
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
  io.write(string.format(
    '\n@@ {"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "max_ms": %.3f, "bad": %d, "broken": %d}\n',
    summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
