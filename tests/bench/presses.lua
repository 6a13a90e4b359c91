-- wrk sends the signed presses of a file (signature, tab, body a line), each once: thread i of n takes every nth line.
local number = 0

function setup(thread)
  thread:set("number", number)
  number = number + 1
end

function init(args)
  local path, threads, at = args[1], tonumber(args[2]), 0
  requests, position = {}, 0
  for line in io.lines(path) do
    if at % threads == number then
      local signature, body = line:match("^(%S+)\t(.*)$")
      requests[#requests + 1] = wrk.format("POST", nil, { ["Content-Type"] = "application/json", ["X-Signature"] = signature }, body)
    end
    at = at + 1
  end
end

function request()
  position = position + 1
  if position > #requests then
    wrk.thread:stop()
    position = 1
  end
  return requests[position]
end

function done(summary, latency)
  io.write(string.format("RESULT %d %d %d %d %d\n", summary.requests, summary.duration,
    summary.errors.status, summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    latency:percentile(99)))
end
