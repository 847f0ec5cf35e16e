-- Requests for wrk, with a token per request and, when asked, at a fixed rate.
--
--   wrk … -s benchmark/wrk.lua URL -- key=value…
--     method, path     of every request (GET, /healthz)
--     tokens           a file of access tokens, one a line; "%d" in it is the number of the thread
--     memory           read the file once and build its requests before the run (for files of some thousands)
--     rate             requests a second of one thread, by the clock: a late answer does not delay the next request
--
-- The last line it prints is "RESULT {json}".

local ffi = require("ffi")
ffi.cdef [[
    typedef struct { long sec; long nsec; } presently_time;
    int clock_gettime(int clock, presently_time *time);
]]

local threads = {}

function setup(thread)
    thread:set("number", #threads)
    table.insert(threads, thread)
end

local time = ffi.new("presently_time")
local function now_us()
    ffi.C.clock_gettime(1, time)
    return tonumber(time.sec) * 1e6 + tonumber(time.nsec) / 1e3
end

local head, tail, file, prepared, turn
local interval_us, first_us, slot, sent

-- How late requests left, against their slots: bucket n counts lateness of n ms, the last one everything above.
late = {}

local function next_token()
    local token = file:read("*l")
    if token then return token end
    file:seek("set", 0)
    return file:read("*l")
end

function init(args)
    local options = { method = "GET", path = "/healthz" }
    for _, argument in ipairs(args) do
        local key, value = argument:match("^(%w+)=(.*)$")
        options[key] = value
    end
    head = options.method .. " " .. options.path .. " HTTP/1.1\r\nHost: " .. wrk.host .. ":" .. wrk.port .. "\r\n"
    tail = "\r\n\r\n"
    if options.method ~= "GET" then tail = "\r\nContent-Length: 0\r\n\r\n" end

    if options.tokens then
        file = assert(io.open((options.tokens:gsub("%%d", tostring(number)))))
        file:setvbuf("full", 1048576)
    end
    if not file then
        local only = head .. tail:sub(3)
        request = function() return only end
    elseif options.memory then
        prepared, turn = {}, 0
        for token in file:lines() do
            table.insert(prepared, head .. "Authorization: Bearer " .. token .. tail)
        end
        local count = #prepared
        request = function()
            turn = turn % count + 1
            return prepared[turn]
        end
    else
        head = head .. "Authorization: Bearer "
        request = function()
            if slot then
                local behind = math.floor((now_us() - (first_us + sent * interval_us)) / 1000)
                sent = sent + 1
                if behind < 0 then behind = 0 elseif behind > 1000 then behind = 1000 end
                late[behind + 1] = (late[behind + 1] or 0) + 1
            end
            return head .. next_token() .. tail
        end
    end

    if options.rate then
        interval_us = 1e6 / tonumber(options.rate)
        for i = 1, 1001 do late[i] = 0 end
        sent = 0
        delay = function()
            local now = now_us()
            if not slot then slot, first_us = 0, now end
            local due = first_us + slot * interval_us
            slot = slot + 1
            if due <= now then return 0 end
            return math.floor((due - now) / 1000 + 0.5)
        end
    end
end

function done(summary, latency, requests)
    local late_total, counts = 0, {}
    for _, thread in ipairs(threads) do
        local of_thread = thread:get("late")
        for i, count in ipairs(of_thread) do
            counts[i] = (counts[i] or 0) + count
            late_total = late_total + count
        end
    end
    local function late_ms(share)
        local seen = 0
        for i, count in ipairs(counts) do
            seen = seen + count
            if seen >= late_total * share then return i - 1 end
        end
        return 0
    end
    local errors = summary.errors
    io.write(string.format(
        'RESULT {"requests":%d,"duration_us":%d,"status_errors":%d,"socket_errors":%d,"timeouts":%d,"p50_us":%d,"p90_us":%d,' ..
        '"p99_us":%d,"p999_us":%d,"max_us":%d,"late_p99_ms":%d,"late_max_ms":%d}\n',
        summary.requests, summary.duration, errors.status, errors.connect + errors.read + errors.write, errors.timeout,
        latency:percentile(50), latency:percentile(90), latency:percentile(99), latency:percentile(99.9), latency.max,
        late_ms(0.99), late_ms(1)))
end
