//! What goes wrong on purpose, as a scenario writes it: `{"at":5.0,"fault":"down","side":"a","seconds":10}`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error as _};

/// One thing that goes wrong. Faults of the connection are the same for all simulators; each of the others concerns
/// one protocol and is passed over by those that don't know it. Without `side`, all sides are meant.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// Connections end, and new ones are accepted.
    Close {
        /// Which side.
        side: Option<Side>,
        /// In which way.
        #[serde(default)]
        how: CloseHow,
    },
    /// Connections end and new ones are refused by the system (RST), for some seconds or until `up`.
    Down {
        /// Which side.
        side: Option<Side>,
        /// For how long.
        seconds: Option<Seconds>,
        /// How the open connections end.
        #[serde(default)]
        how: CloseHow,
    },
    /// New connections are refused by the system, open ones stay; for some seconds or until `up`.
    Refuse {
        /// Which side.
        side: Option<Side>,
        /// For how long.
        seconds: Option<Seconds>,
    },
    /// Ends `down` and `refuse`.
    Up {
        /// Which side.
        side: Option<Side>,
    },
    /// The connections open now fall silent for good: nothing is read, nothing sent, no FIN.
    HalfOpen {
        /// Which side.
        side: Option<Side>,
    },
    /// Bytes that belong to no message come into the stream.
    Garbage {
        /// Which side.
        side: Option<Side>,
        /// The bytes in hexadecimal; by default 24 bytes that no protocol here begins with.
        hex: Option<HexBytes>,
    },
    /// All that is sent comes late, for some seconds or for good.
    Delay {
        /// By how much.
        seconds: Seconds,
        /// For how long.
        #[serde(rename = "for")]
        period: Option<Seconds>,
    },
    /// Each of the next events is sent twice.
    Duplicate {
        /// How many.
        #[serde(default = "one")]
        count: u32,
    },
    /// The next events are kept and sent in the opposite order.
    Reorder {
        /// How many.
        #[serde(default = "two")]
        count: u32,
    },

    /// CTI server: refuses versions above this one from now on.
    RefuseVersion {
        /// The highest version taken.
        maximum: u32,
    },
    /// CTI server and CSTA: refuses to open sessions. The status is that of FAILURE_CONF; 36 is a wrong password.
    RefuseOpen {
        /// GED-188 status code; CSTA refuses with its own words.
        #[serde(default = "wrong_password")]
        status: u32,
        /// How many times.
        #[serde(default = "one")]
        count: u32,
    },
    /// CTI server: tells all clients by FAILURE_EVENT that it goes off line, and answers heartbeats so.
    ServerOffline {
        /// Which side.
        side: Option<Side>,
    },
    /// CTI server: is on line again after `server_offline`.
    ServerOnline {
        /// Which side.
        side: Option<Side>,
    },
    /// CTI server: a SYSTEM_EVENT, by its SystemEventID.
    SystemEvent {
        /// 1 to 11.
        id: u32,
        /// SystemEventArg1; the peripheral for 3 and 4 where it isn't said.
        argument: Option<u32>,
        /// PGStatus; by default what belongs to the event.
        pg_status: Option<u32>,
    },
    /// CTI server with active and standby side: the other side becomes the active one.
    SwitchOver,

    /// CSTA: forgets all sessions, as after their time.
    SessionExpired,
    /// CSTA: refuses MonitorStart.
    RefuseMonitor {
        /// For this device only.
        device: Option<String>,
        /// How many times.
        #[serde(default = "one")]
        count: u32,
        /// Class and value of the CSTAErrorCode, such as `operation/invalidDeviceID`.
        error: Option<String>,
    },
    /// CSTA: asks by SystemStatus whether the client is alive.
    SystemStatus {
        /// Its word.
        #[serde(default = "normal")]
        status: String,
    },
    /// CSTA: the next events hold elements that no standard knows.
    UnknownElements {
        /// How many events.
        #[serde(default = "one")]
        count: u32,
    },

    /// BroadWorks: ends channels with a ChannelTerminatedEvent.
    ChannelTerminated {
        /// Which XSP.
        side: Option<Side>,
    },
    /// BroadWorks: ends subscriptions with a SubscriptionTerminatedEvent.
    SubscriptionTerminated {
        /// Whose; all without.
        user: Option<String>,
    },
    /// BroadWorks: subscriptions end without a word, as after their time.
    SubscriptionExpired {
        /// Whose; all without.
        user: Option<String>,
    },
    /// BroadWorks: the next events are lost on the way; their sequence numbers are missing.
    SequenceGap {
        /// Whose; anybody's without.
        user: Option<String>,
        /// How many.
        #[serde(default = "one")]
        count: u32,
    },
    /// BroadWorks: the application server fails over. Its calls are forgotten and an unsolicited
    /// CallSubscriptionEvent says so.
    Failover {
        /// Whose; everybody's without.
        user: Option<String>,
    },
    /// BroadWorks: a CallSubscriptionResyncEvent with the calls as they are.
    Resync {
        /// Whose; everybody's without.
        user: Option<String>,
    },
    /// BroadWorks: heartbeats are answered with another status.
    HeartbeatStatus {
        /// 404 or 401 say that the channel is gone.
        status: u16,
        /// How many.
        #[serde(default = "one")]
        count: u32,
    },
    /// BroadWorks: the stream's items are cut and joined at random (of this seed) instead of one a chunk.
    Split {
        /// Seed; 0 ends it.
        #[serde(default = "one_seed")]
        seed: u64,
    },
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseHow {
    /// In good order.
    #[default]
    Fin,
    /// By a reset.
    Rst,
}

/// A side of a CTI server (`"a"`, `"b"`) or an XSP, by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Side(pub usize);

impl Side {
    /// Side A, or the first XSP.
    pub const A: Self = Self(0);
    /// Side B, or the second XSP.
    pub const B: Self = Self(1);
}

impl<'de> Deserialize<'de> for Side {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let place = match value.as_str() {
            Some("a" | "A") => Some(0),
            Some("b" | "B") => Some(1),
            Some(_) => None,
            None => value.as_u64().and_then(|place| usize::try_from(place).ok()),
        };
        let expected = || D::Error::custom(format!("expected a side as \"a\", \"b\", 0, 1, ..., found {value}"));
        place.map(Self).ok_or_else(expected)
    }
}

/// A length of time in a scenario: seconds, with fractions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seconds(pub Duration);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        let duration = Duration::try_from_secs_f64(seconds);
        duration
            .map(Self)
            .map_err(|_| D::Error::custom(format!("expected seconds, found {seconds}")))
    }
}

/// Bytes written in hexadecimal; blanks between them are allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HexBytes(pub Vec<u8>);

impl<'de> Deserialize<'de> for HexBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        from_hex(&text)
            .map(Self)
            .ok_or_else(|| D::Error::custom("expected bytes in hexadecimal"))
    }
}

/// Reads hexadecimal digits, blanks aside.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    let pair = |pair: &[char]| match pair {
        [high, low] => u8::try_from(high.to_digit(16)? * 16 + low.to_digit(16)?).ok(),
        _ => None,
    };
    digits.chunks(2).map(pair).collect()
}

const fn one() -> u32 {
    1
}

const fn one_seed() -> u64 {
    1
}

const fn two() -> u32 {
    2
}

/// GED-188 E_CTI_INVALID_PASSWORD.
const fn wrong_password() -> u32 {
    36
}

fn normal() -> String {
    "normal".to_owned()
}
