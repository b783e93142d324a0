//! Ends of validity, and how near they are: an operator is told 30, 14 and 3 days before, and when it is over.

use time::{Duration, OffsetDateTime};

/// Something that is good until a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiry {
    /// What ends, as a label: `certificate`, `chain`, `authority` or `revocation_list`.
    pub kind: &'static str,
    /// What ends, in words.
    pub what: String,
    /// When it ends.
    pub end: OffsetDateTime,
}

/// How near an end is; a later one is the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Nearness {
    /// Less than 30 days are left.
    Month,
    /// Less than 14 days are left.
    Fortnight,
    /// Less than 3 days are left.
    Days,
    /// It is over.
    Over,
}

impl Nearness {
    const ALL: [(Self, Duration); 4] = [
        (Self::Over, Duration::ZERO),
        (Self::Days, Duration::days(3)),
        (Self::Fortnight, Duration::days(14)),
        (Self::Month, Duration::days(30)),
    ];
}

impl Expiry {
    /// How near the end is at `now`; `None` where there is time enough.
    pub fn nearness(&self, now: OffsetDateTime) -> Option<Nearness> {
        let left = self.end - now;
        let near = Nearness::ALL.into_iter().find(|(_, limit)| left < *limit);
        near.map(|(nearness, _)| nearness)
    }

    /// Days that are left at `now`; negative once it is over.
    pub fn days_left(&self, now: OffsetDateTime) -> f64 {
        (self.end - now).as_seconds_f64() / 86_400.0
    }

    /// A sentence for the operator, where the end is near.
    pub fn warning(&self, now: OffsetDateTime) -> Option<String> {
        let (what, day) = (&self.what, self.end.date());
        Some(match self.nearness(now)? {
            Nearness::Over => format!("{what} expired on {day}"),
            Nearness::Month | Nearness::Fortnight | Nearness::Days => {
                let days = (self.end - now).whole_days();
                let left = if days == 1 {
                    "1 day".to_owned()
                } else {
                    format!("{days} days")
                };
                format!("{what} expires on {day}, in {left}")
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warns_a_month_a_fortnight_and_three_days_before_the_end_and_after_it() {
        let expiry = Expiry {
            kind: "certificate",
            what: "the certificate".to_owned(),
            end: OffsetDateTime::UNIX_EPOCH,
        };
        for (left, nearness, sentence) in [
            (Duration::days(30), None, None),
            (
                Duration::hours(719),
                Some(Nearness::Month),
                Some("expires on 1970-01-01, in 29 days"),
            ),
            (
                Duration::hours(335),
                Some(Nearness::Fortnight),
                Some("expires on 1970-01-01, in 13 days"),
            ),
            (
                Duration::hours(36),
                Some(Nearness::Days),
                Some("expires on 1970-01-01, in 1 day"),
            ),
            (Duration::hours(-1), Some(Nearness::Over), Some("expired on 1970-01-01")),
        ] {
            let now = expiry.end - left;
            assert_eq!(expiry.nearness(now), nearness, "{left}");
            let sentence = sentence.map(|text| format!("the certificate {text}"));
            assert_eq!(expiry.warning(now), sentence, "{left}");
        }
    }
}
