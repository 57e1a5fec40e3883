-- Sends each series to Syntopy once nothing of it has come for a while (StableAge). Syntopy keeps
-- an object once, however often it is sent.

function OnStableSeries(seriesId, tags, metadata)
  SendToModality(seriesId, 'syntopy')
end

-- What could not be sent is tried again every LuaHeartBeatPeriod seconds.
function OnHeartBeat()
  local jobs = ParseJson(RestApiGet('/jobs?expand'))
  for _, job in pairs(jobs) do
    if job['State'] == 'Failure' and job['Type'] == 'DicomModalityStore' then
      RestApiPost('/jobs/' .. job['ID'] .. '/resubmit', '')
    end
  end
end
