-- For wrk: count what was sent, and print one line of JSON when the time is over.

sent = 0
local threads = {}

function setup(thread)
   table.insert(threads, thread)
end

function init()
   text = wrk.format()
end

function request()
   sent = sent + 1
   return text
end

function done(summary, latency)
   local asked = 0
   for _, thread in ipairs(threads) do
      asked = asked + thread:get("sent")
   end
   local e = summary.errors
   print(string.format(
      'RESULT {"sent": %d, "complete": %d, "seconds": %f, "status": %d, "other": %d, "p50": %f, "p99": %f}',
      asked, summary.requests, summary.duration / 1e6,
      e.status, e.connect + e.read + e.write + e.timeout,
      latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
