//! The checks: what each sends, what it proves, and how much the product needs it.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use thiserror::Error;

/// How much depends on a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Without it calls go unheard: a failure disqualifies the NIC.
    Required,
    /// Only some networks need it: a failure is a note.
    Useful,
}

macro_rules! checks {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $need:ident, $title:literal, $proves:literal, $failing:literal;)*) => {
        /// A check, written `SMNIC-1`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum CheckId {
            $($(#[$doc])* $name = $number,)*
        }

        impl CheckId {
            /// Every check, in the order in which they are sent.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// A few words for a table.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// What is sent and what it proves.
            pub const fn proves(self) -> &'static str {
                match self { $(Self::$name => $proves,)* }
            }

            /// What a failure means and what to do about it.
            pub const fn failing(self) -> &'static str {
                match self { $(Self::$name => $failing,)* }
            }

            /// How much depends on it.
            pub const fn need(self) -> Need {
                match self { $(Self::$name => Need::$need,)* }
            }
        }
    };
}

checks! {
    /// The documented test.
    Tagged = 1, Required, "VLAN 85, priority 5, own MAC",
        "Five frames with an 802.1Q tag (VLAN 85, priority 5) to the NIC's own MAC address, 10 ms apart: phones tag voice, and \
         the driver must hand tagged frames to the capture layer. Passes when five of five arrive with their tag.",
        "None seen while SMNIC-2 passes: the driver discards tagged frames (SM-2201). Seen without the tag: it strips the tag \
         and doesn't say so (SM-2105). Turn off rx-vlan-filter, then rx-vlan-offload; on Windows set the driver's \
         \"Priority & VLAN\" to disabled or its registry value MonitorModeEnabled to 1.";
    /// The control of the experiment.
    Untagged = 2, Required, "untagged control",
        "Five untagged frames to the NIC's own MAC address. They show that wire, interface and generator work, so that what is \
         missing in the other checks is the driver's doing.",
        "Nothing at all arrives: cable, wrong interface, wrong MAC address in --to, or a switch port in between that is shut \
         (SM-2101). It says nothing about the driver, so the verdict is INCONCLUSIVE.";
    /// What a mirror port delivers is addressed to others.
    Promiscuous = 3, Required, "foreign MAC, promiscuous",
        "Five untagged frames to a MAC address that is nobody's: a mirror port delivers frames addressed to others, which a NIC \
         takes only in promiscuous mode.",
        "Promiscuous mode isn't in effect (SM-2104). In a virtual machine set promiscuous mode to Accept on virtual switch and \
         port group (ESXi) or port mirroring to Destination (Hyper-V); some drivers need their hardware VLAN filter off.";
    /// A tag without a VLAN.
    PriorityTag = 4, Required, "VID 0 priority tag",
        "Five frames tagged with VLAN identifier 0 and priority 5 (IEEE 802.1Q priority tag), as phones on an access port send.",
        "None seen: the driver discards priority tags (SM-2201). Seen without the tag is a note only, as the tag names no VLAN.";
    /// The other end of the range.
    HighestVlan = 5, Required, "VID 4094 with DEI",
        "Five frames tagged with VLAN identifier 4094, the highest there is, priority 0 and the drop eligible indicator set: a \
         filter with a table of VLANs shows itself here, and so does a driver that keeps only part of the tag.",
        "Not seen while SMNIC-1 passes: a VLAN filter in the driver passes only VLANs it was told of; turn off rx-vlan-filter.";
    /// Provider bridging.
    Qinq = 6, Useful, "QinQ 0x88a8 + 0x8100",
        "Five frames with a service tag (0x88a8, VLAN 100) around a customer tag (0x8100, VLAN 85), IEEE 802.1ad: mirrors over \
         provider links and some remote SPANs look so.",
        "Only networks that mirror over QinQ are concerned. Turn off rx-vlan-stag-filter and rx-vlan-stag-hw-parse where the \
         driver has them.";
    /// As deep as mirrors go.
    TripleTag = 7, Useful, "three tags",
        "Five frames with three tags (0x88a8, 0x8100, 0x8100): a QinQ mirror of frames that were tagged already.",
        "Only networks with such mirrors are concerned.";
    /// From the shortest frame to the longest.
    Sizes = 8, Required, "64 to 1522 bytes whole",
        "Thirteen tagged frames of 64 to 1522 bytes (with the frame check sequence), each compared byte by byte. Voice needs \
         about 220 bytes, signalling up to the longest.",
        "Cut frames (SM-2202): a snap length, a buffer size or a jumbo setting in the driver. Damaged ones (SM-2203): cable, \
         port or offload. Only the longest missing: raise the interface's MTU to 1504 or more.";
    /// The longest frame of provider bridging.
    DoubleTagged = 9, Useful, "1526 bytes, two tags",
        "Five frames of 1526 bytes with two tags: the longest frame a QinQ mirror delivers.",
        "Raise the MTU of the capture NIC to 1508 (ip link set IFACE mtu 1508); it takes longer frames then.";
    /// Voice as most send it.
    Ipv4 = 10, Required, "IPv4",
        "Five tagged UDP datagrams over IPv4, of the size of G.711 voice and marked EF.",
        "Not seen while SMNIC-1 passes: a filter on the machine or in the driver takes IP frames out; look at XDP programs, tc \
         filters and the driver's receive filters (ethtool -n).";
    /// Voice of the other kind.
    Ipv6 = 11, Useful, "IPv6",
        "Five tagged UDP datagrams over IPv6, of the size of G.711 voice and marked EF.",
        "Only networks with IPv6 are concerned. As SMNIC-10.";
    /// All calls at once.
    Burst = 12, Required, "burst at call rate",
        "Tagged voice-size frames to a foreign MAC address at the rate of 5,000 calls for 10 s, numbered: loss and reordering \
         are counted, and loss is attributed to the socket of this test, to the interface's counters, or to what is before it.",
        "Lost before the interface: wire, switch, generator. At the interface: longer receive rings (ethtool -G IFACE rx 4096), \
         more queues, interrupt moderation. At the socket: this computer is too slow for that many calls.";
    /// When frames arrived.
    Timestamps = 13, Useful, "timestamps",
        "Looks at the stamps of SMNIC-1's frames: they must not run backwards, must be near the clock, and their spacing must be \
         that of sending. Jitter and silence are measured by them.",
        "A NIC whose hardware stamps aren't synchronised, or a virtual machine with a jumping clock: use the kernel's stamps, \
         check the clock source and NTP.";
}

impl CheckId {
    /// Its number: that of its name, and that in its frames.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The check with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.iter().copied().find(|check| check.number() == number)
    }
}

impl fmt::Display for CheckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SMNIC-{}", self.number())
    }
}

impl Serialize for CheckId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A text that names no check.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected a check, SMNIC-1 to SMNIC-{last}, found \"{0}\"", last = CheckId::ALL.len())]
pub struct UnknownCheck(String);

impl FromStr for CheckId {
    type Err = UnknownCheck;

    fn from_str(text: &str) -> Result<Self, UnknownCheck> {
        let upper = text.to_ascii_uppercase();
        let number = upper.strip_prefix("SMNIC-").unwrap_or(&upper).parse().ok();
        number
            .and_then(Self::from_number)
            .ok_or_else(|| UnknownCheck(text.to_owned()))
    }
}

/// A set of checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Checks(u32);

impl Checks {
    /// All that are sent.
    pub fn all() -> Self {
        CheckId::ALL.iter().copied().collect()
    }

    /// The set whose bits are the checks' numbers; bits of unknown checks are ignored.
    pub fn from_bits(bits: u32) -> Self {
        let known = CheckId::ALL.iter().copied();
        known.filter(|check| bits & Self::bit(*check) != 0).collect()
    }

    /// The checks' numbers as bits.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether the check is in it.
    pub const fn contains(self, check: CheckId) -> bool {
        self.0 & Self::bit(check) != 0
    }

    /// Whether there is none in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The same without one.
    #[must_use]
    pub const fn without(self, check: CheckId) -> Self {
        Self(self.0 & !Self::bit(check))
    }

    /// Those in it, in the order in which they are sent.
    pub fn iter(self) -> impl Iterator<Item = CheckId> {
        CheckId::ALL.iter().copied().filter(move |check| self.contains(*check))
    }

    const fn bit(check: CheckId) -> u32 {
        1 << check.number()
    }
}

impl FromIterator<CheckId> for Checks {
    fn from_iter<T: IntoIterator<Item = CheckId>>(checks: T) -> Self {
        Self(checks.into_iter().fold(0, |bits, check| bits | Self::bit(check)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_reads_back_as_it_is_written() {
        for &check in CheckId::ALL {
            assert_eq!(check.to_string().parse(), Ok(check));
            assert_eq!(CheckId::from_number(check.number()), Some(check));
            assert!(
                check.proves().ends_with('.') && check.failing().ends_with('.'),
                "{check}"
            );
        }
        assert_eq!("smnic-12".parse(), Ok(CheckId::Burst));
        assert!("SMNIC-14".parse::<CheckId>().is_err());
    }

    #[test]
    fn a_set_holds_known_checks_only() {
        assert_eq!(Checks::from_bits(u32::MAX), Checks::all());
        let some: Checks = [CheckId::Burst, CheckId::Tagged].into_iter().collect();
        assert_eq!(Checks::from_bits(some.bits()), some);
        assert_eq!(some.iter().collect::<Vec<_>>(), [CheckId::Tagged, CheckId::Burst]);
        assert!(some.without(CheckId::Burst).without(CheckId::Tagged).is_empty());
    }
}
