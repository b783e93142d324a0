//! When listening is allowed: windows of the week in local time. The zone is the host's affair; what is asked here is a
//! minute of the week.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

const MINUTES_OF_DAY: u16 = 24 * 60;
const MINUTES_OF_WEEK: u16 = 7 * MINUTES_OF_DAY;
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// A minute of the local week, from Monday 00:00.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct WeekMinute(u16);

impl WeekMinute {
    /// The minute on a day of the week; `None` where there is none such. `day` counts from Monday = 0.
    pub const fn new(day: u8, hour: u8, minute: u8) -> Option<Self> {
        if day > 6 || hour > 23 || minute > 59 {
            return None;
        }
        Some(Self(day as u16 * MINUTES_OF_DAY + hour as u16 * 60 + minute as u16))
    }
}

impl fmt::Display for WeekMinute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (day, minute) = (self.0 / MINUTES_OF_DAY, self.0 % MINUTES_OF_DAY);
        let day = DAYS.get(usize::from(day)).copied().unwrap_or_default();
        write!(f, "{day} {:02}:{:02}", minute / 60, minute % 60)
    }
}

/// Some days, from one time to another: `Mon-Fri 08:00-18:00`, `Sat,Sun 10:00-14:00`, `daily 22:00-06:00`. One that ends
/// at or before its beginning ends on the next day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Window {
    text: String,
    days: [bool; 7],
    from: u16,
    until: u16,
}

impl Window {
    fn has(&self, WeekMinute(minute): WeekMinute) -> bool {
        let length = match self.until.checked_sub(self.from) {
            Some(length) if length > 0 => length,
            _ => self.until + MINUTES_OF_DAY - self.from,
        };
        let on = |day: u16| {
            let begin = day * MINUTES_OF_DAY + self.from;
            (minute + MINUTES_OF_WEEK - begin) % MINUTES_OF_WEEK < length
        };
        (0..7).zip(self.days).any(|(day, wanted)| wanted && on(day))
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A text that is no window.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "expected days and times such as \"Mon-Fri 08:00-18:00\", \"Sat 09:00-13:00\" or \"daily 22:00-06:00\", found \"{0}\""
)]
pub struct BadWindow(String);

impl FromStr for Window {
    type Err = BadWindow;

    fn from_str(text: &str) -> Result<Self, BadWindow> {
        let parsed = || {
            let (days, times) = text.trim().split_once(' ')?;
            let (from, until) = times.trim().split_once('-')?;
            let (from, until) = (time(from)?, time(until)?);
            Some(Self {
                text: text.trim().to_owned(),
                days: parse_days(days)?,
                // A day that begins at 24:00 is the next one.
                from: (from < MINUTES_OF_DAY).then_some(from)?,
                until,
            })
        };
        parsed().ok_or_else(|| BadWindow(text.to_owned()))
    }
}

impl TryFrom<String> for Window {
    type Error = BadWindow;

    fn try_from(text: String) -> Result<Self, BadWindow> {
        text.parse()
    }
}

impl From<Window> for String {
    fn from(window: Window) -> Self {
        window.text
    }
}

fn parse_days(text: &str) -> Option<[bool; 7]> {
    if text.eq_ignore_ascii_case("daily") {
        return Some([true; 7]);
    }
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        let length = (last + 7 - first) % 7;
        for offset in 0..=length {
            *days.get_mut((first + offset) % 7)? = true;
        }
    }
    Some(days)
}

fn day(text: &str) -> Option<usize> {
    DAYS.iter().position(|day| day.eq_ignore_ascii_case(text.trim()))
}

/// `HH:MM`, at most 24:00.
fn time(text: &str) -> Option<u16> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let number = |digits: &str| {
        let plain = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| digits.parse::<u16>().ok()).flatten()
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let whole = hours * 60 + minutes;
    (minutes < 60 && whole <= MINUTES_OF_DAY).then_some(whole)
}

/// When listening is allowed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hours(Vec<Window>);

impl Hours {
    /// Whether nothing is said of hours, which allows all.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether listening is allowed in this minute; where hours are set and the local time isn't known, it is not.
    pub fn allow(&self, local: Option<WeekMinute>) -> bool {
        self.0.is_empty() || local.is_some_and(|local| self.0.iter().any(|window| window.has(local)))
    }
}

impl From<Vec<Window>> for Hours {
    fn from(windows: Vec<Window>) -> Self {
        Self(windows)
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let windows: Vec<_> = self.0.iter().map(Window::to_string).collect();
        f.write_str(&windows.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hours(windows: &[&str]) -> Hours {
        let windows = windows.iter().map(|text| text.parse().expect("a window"));
        Hours(windows.collect())
    }

    fn at(day: u8, hour: u8, minute: u8) -> Option<WeekMinute> {
        WeekMinute::new(day, hour, minute)
    }

    #[test]
    fn windows_hold_from_their_first_minute_to_the_one_before_their_end() {
        let hours = hours(&["Mon-Fri 08:00-18:00", "Sat 09:30-13:00"]);
        for (moment, allowed) in [
            (at(0, 7, 59), false),
            (at(0, 8, 0), true),
            (at(4, 17, 59), true),
            (at(4, 18, 0), false),
            (at(5, 9, 29), false),
            (at(5, 9, 30), true),
            (at(6, 12, 0), false),
            (None, false),
        ] {
            assert_eq!(hours.allow(moment), allowed, "{moment:?}");
        }
        assert!(Hours::default().allow(None), "nothing is said of hours");
    }

    #[test]
    fn a_window_over_midnight_ends_on_the_next_day_and_over_the_weeks_end() {
        let night = hours(&["Sun,Wed 22:00-06:00"]);
        for (moment, allowed) in [
            (at(6, 21, 59), false),
            (at(6, 23, 0), true),
            (at(0, 5, 59), true),
            (at(0, 6, 0), false),
            (at(3, 2, 0), true),
            (at(2, 2, 0), false),
        ] {
            assert_eq!(night.allow(moment), allowed, "{moment:?}");
        }
        let weekend = hours(&["Sat-Mon 00:00-24:00"]);
        assert!(weekend.allow(at(0, 23, 59)) && weekend.allow(at(5, 0, 0)) && !weekend.allow(at(1, 0, 0)));
    }

    #[test]
    fn what_is_no_window_is_said_to_be_none() {
        for bad in [
            "",
            "Mon",
            "08:00-18:00",
            "Mon 8-18",
            "Mon 08:00",
            "Mon 08:60-09:00",
            "Mon 24:00-24:00",
            "Mon 08:00-24:01",
            "Foo 08:00-09:00",
            "Mon +8:00-09:00",
        ] {
            assert!(bad.parse::<Window>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_window_or_none(text in "\\PC{0,32}", day in 0_u8..7, hour in 0_u8..24, minute in 0_u8..60) {
            if let Ok(window) = text.parse::<Window>() {
                let _ = Hours(vec![window]).allow(WeekMinute::new(day, hour, minute));
            }
        }
    }
}
