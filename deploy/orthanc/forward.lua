-- Sends each series to Syntopy once nothing of it has come for a while (StableAge). Syntopy keeps
-- an object once, however often it is sent.

function OnStableSeries(seriesId, tags, metadata)
  TryAgain()
  -- SendToModality would forget what it could not send; this makes a job that stays.
  local wanted = { Resources = { seriesId }, Synchronous = false }
  RestApiPost('/modalities/syntopy/store', DumpJson(wanted, true))
end

-- Every LuaHeartBeatPeriod seconds (from Orthanc 1.11 on).
function OnHeartBeat()
  TryAgain()
end

-- What could not be sent, as Syntopy was not there.
function TryAgain()
  for _, job in pairs(ParseJson(RestApiGet('/jobs?expand'))) do
    if job['State'] == 'Failure' and job['Type'] == 'DicomModalityStore' then
      RestApiPost('/jobs/' .. job['ID'] .. '/resubmit', '')
    end
  end
end
