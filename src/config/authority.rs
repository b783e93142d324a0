//! Who may hear whom, as the configuration says it: checked, and as the engine takes it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use silentmon_capture_core::policy::{Excluded, Limits, SessionLimit, WeekMinute};
use silentmon_capture_io::service::LocalTime;
use silentmon_proto::time::Instant;

use super::Complaint;
use super::capture::PolicySection;
use super::values::Seconds;

/// So long before the end of a session that is limited its supervisor is asked.
pub const CONFIRM_WITHIN: Duration = Duration::from_secs(60);

impl PolicySection {
    /// Complains of what contradicts itself.
    pub(super) fn check_authority(&self) -> Result<(), Complaint> {
        match &self.time_zone {
            None if !self.hours.is_empty() => {
                let expected = "expected a time zone such as \"Europe/Vienna\", because policy.hours is set";
                return Complaint::about("policy.time_zone", expected);
            }
            Some(name) if zone(name).is_none() => {
                let expected = format!("expected the name of a time zone such as \"Europe/Vienna\", found \"{name}\"");
                return Complaint::about("policy.time_zone", expected);
            }
            _ => {}
        }
        if let (Some(Seconds(longest)), Seconds(within)) = (self.session_limit, self.confirm_within)
            && longest <= within
        {
            let expected = format!(
                "expected less than policy.session_limit ({} s), found {} s",
                longest.as_secs(),
                within.as_secs()
            );
            return Complaint::about("policy.confirm_within", expected);
        }
        if self
            .purposes
            .iter()
            .any(|purpose| purpose.trim() != purpose || purpose.is_empty())
        {
            return Complaint::about("policy.purposes", "expected words without space around them");
        }
        Ok(())
    }

    /// How much listening there may be.
    pub(super) fn limits(&self) -> Limits {
        Limits {
            session: self.session_limit.map(|Seconds(longest)| SessionLimit {
                longest,
                ask_before: self.confirm_within.0,
            }),
            supervisors_per_agent: self.supervisors_per_agent,
            sessions_per_supervisor: self.sessions_per_supervisor,
        }
    }

    /// Whom nobody hears.
    pub(super) fn excluded(&self) -> Excluded {
        Excluded {
            agents: self.excluded_agents.iter().cloned().collect(),
            devices: self.excluded_devices.iter().cloned().collect(),
        }
    }

    /// The clock on the operator's wall. The zone's rules are read now, not while the service runs.
    pub fn local_time(&self) -> LocalTime {
        let zone = self.time_zone.as_deref().and_then(zone).unwrap_or(TimeZone::UTC);
        Arc::new(move |now| week_minute(now, &zone))
    }
}

fn zone(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok()
}

fn week_minute(now: Instant, zone: &TimeZone) -> WeekMinute {
    let local = Timestamp::from_nanosecond(now.as_nanos().into()).map(|now| zone.to_datetime(now));
    let minute = local.ok().and_then(|local| {
        let day = local.weekday().to_monday_zero_offset();
        let [day, hour, minute] = [day, local.hour(), local.minute()].map(|part| u8::try_from(part).ok());
        WeekMinute::new(day?, hour?, minute?)
    });
    minute.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_follows_the_zone_and_its_summer_time() {
        let minute =
            |seconds, name| week_minute(Instant::from_parts(seconds, 0), &zone(name).expect("a zone")).to_string();
        // Sunday 2026-03-29 00:59 and 01:01 UTC: clocks in Vienna go from 02:00 to 03:00 in between.
        assert_eq!(minute(1_774_745_940, "Europe/Vienna"), "Sun 01:59");
        assert_eq!(minute(1_774_746_060, "Europe/Vienna"), "Sun 03:01");
        assert_eq!(minute(1_774_746_060, "UTC"), "Sun 01:01");
        assert_eq!(minute(1_774_746_060, "America/New_York"), "Sat 21:01");
        assert!(zone("Mars/Olympus").is_none());
    }
}
