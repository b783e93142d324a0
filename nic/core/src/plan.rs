//! What a generator sends for each check. Both ends derive it from the check's number, so the target knows what each frame
//! must look like.

use std::time::Duration;

use silentmon_proto::frame::VlanTag;

use crate::check::{CheckId, Checks};

/// A tag in front of a frame's EtherType.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag {
    /// Tag protocol identifier: 0x8100, or 0x88a8 for a service tag.
    pub tpid: u16,
    /// The VLAN and what else it says.
    pub vlan: VlanTag,
}

const fn tag(tpid: u16, id: u16, pcp: u8, dei: bool) -> Tag {
    let vlan = VlanTag { id, pcp, dei };
    Tag { tpid, vlan }
}

/// Tag protocol identifier of a customer tag (IEEE 802.1Q).
pub const CUSTOMER_TPID: u16 = 0x8100;
/// Tag protocol identifier of a service tag (IEEE 802.1ad).
pub const SERVICE_TPID: u16 = 0x88a8;
/// The tag of the documented test and of voice: VLAN 85, priority 5.
pub const VOICE_TAG: Tag = tag(CUSTOMER_TPID, 85, 5, false);

const VOICE: &[Tag] = &[VOICE_TAG];
const PRIORITY: &[Tag] = &[tag(CUSTOMER_TPID, 0, 5, false)];
const HIGHEST: &[Tag] = &[tag(CUSTOMER_TPID, 4094, 0, true)];
const QINQ: &[Tag] = &[tag(SERVICE_TPID, 100, 3, false), VOICE_TAG];
const TRIPLE: &[Tag] = &[
    tag(SERVICE_TPID, 100, 3, false),
    tag(CUSTOMER_TPID, 200, 4, false),
    VOICE_TAG,
];

/// Where a frame is addressed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// The target's own address.
    Target,
    /// An address that is nobody's.
    Foreign,
}

/// What the test payload travels in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// Directly behind the EtherType 0x88b5.
    Raw,
    /// UDP over IPv4.
    Ipv4,
    /// UDP over IPv6.
    Ipv6,
}

/// What a frame of a check looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// To whom.
    pub destination: Destination,
    /// Its tags, outermost first.
    pub tags: &'static [Tag],
    /// What the payload travels in.
    pub carrier: Carrier,
    /// Length on the wire in bytes, with the frame check sequence, which sockets neither send nor show.
    pub wire_length: u16,
}

/// Bytes of the frame check sequence at the end of each frame on the wire.
pub const FCS: u16 = 4;

const SIZE_COUNT: u32 = 13;
/// Wire lengths of SMNIC-8: IEEE 802.3's shortest frame to the longest with a tag, and their neighbours.
pub const SIZES: [u16; SIZE_COUNT as usize] = [64, 65, 127, 128, 256, 512, 1024, 1280, 1500, 1517, 1518, 1521, 1522];

/// Frames of the checks that send five.
pub const FIVE: u32 = 5;

/// Length of a check's frame where its length doesn't matter.
const SHORT: u16 = 100;
/// That of 20 ms of G.711 in RTP, with one tag.
const VOICE_LENGTH: u16 = 222;

impl CheckId {
    /// The shape of the check's frame with this number; `None` where it sends none of that number.
    pub fn shape(self, sequence: u32) -> Option<Shape> {
        use Carrier::{Ipv4, Ipv6, Raw};
        use Destination::{Foreign, Target};
        let (destination, tags, carrier, wire_length) = match self {
            Self::Tagged => (Target, VOICE, Raw, SHORT),
            Self::Untagged => (Target, &[][..], Raw, SHORT),
            Self::Promiscuous => (Foreign, &[][..], Raw, SHORT),
            Self::PriorityTag => (Target, PRIORITY, Raw, SHORT),
            Self::HighestVlan => (Target, HIGHEST, Raw, SHORT),
            Self::Qinq => (Target, QINQ, Raw, SHORT),
            Self::TripleTag => (Target, TRIPLE, Raw, SHORT),
            Self::Sizes => {
                let length = SIZES.get(usize::try_from(sequence).ok()?)?;
                (Target, VOICE, Raw, *length)
            }
            Self::DoubleTagged => (Target, QINQ, Raw, 1526),
            Self::Ipv4 => (Target, VOICE, Ipv4, VOICE_LENGTH),
            Self::Ipv6 => (Target, VOICE, Ipv6, VOICE_LENGTH + 20),
            Self::Burst => (Foreign, VOICE, Ipv4, VOICE_LENGTH),
            Self::Timestamps => return None,
        };
        (self == Self::Burst || sequence < self.frames()).then_some(Shape {
            destination,
            tags,
            carrier,
            wire_length,
        })
    }

    /// Frames the check sends; those of the burst are in its plan.
    pub const fn frames(self) -> u32 {
        match self {
            Self::Sizes => SIZE_COUNT,
            Self::Burst | Self::Timestamps => 0,
            _ => FIVE,
        }
    }

    /// Time from one frame of the check to the next.
    pub const fn gap(self) -> Duration {
        match self {
            Self::Tagged => Duration::from_millis(10),
            _ => Duration::from_millis(2),
        }
    }
}

/// The burst as it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BurstPlan {
    /// Frames a second.
    pub rate: u32,
    /// Frames altogether.
    pub frames: u32,
}

/// Packets a second of a call, both directions, at 20 ms a packet.
pub const PACKETS_PER_CALL: u32 = 100;

impl BurstPlan {
    /// Most frames of a burst: what a target keeps of them is a bit each.
    pub const MAX_FRAMES: u32 = 1 << 27;

    /// A burst of this many seconds.
    pub fn lasting(rate: u32, duration: Duration) -> Self {
        let frames = u128::from(rate) * duration.as_micros() / 1_000_000;
        let frames = u32::try_from(frames).unwrap_or(u32::MAX).min(Self::MAX_FRAMES);
        Self { rate, frames }
    }

    /// How long it takes.
    pub fn duration(self) -> Duration {
        Duration::from_micros(u64::from(self.frames) * 1_000_000 / u64::from(self.rate.max(1)))
    }

    /// Frames that must have gone out when this time has passed.
    pub fn due(self, elapsed: Duration) -> u32 {
        let due = elapsed.as_nanos() * u128::from(self.rate) / 1_000_000_000;
        u32::try_from(due).unwrap_or(u32::MAX).min(self.frames)
    }
}

/// What a generator is to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The checks.
    pub checks: Checks,
    /// The burst, where it is among them.
    pub burst: BurstPlan,
}

impl Plan {
    /// Frames of a check.
    pub fn frames(self, check: CheckId) -> u32 {
        match check {
            _ if !self.checks.contains(check) => 0,
            CheckId::Burst => self.burst.frames,
            check => check.frames(),
        }
    }

    /// About how long sending takes.
    pub fn duration(self) -> Duration {
        let short: Duration = self.checks.iter().map(|check| check.gap() * check.frames()).sum();
        if self.checks.contains(CheckId::Burst) {
            short + self.burst.duration()
        } else {
            short
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_test_is_five_frames_of_vlan_85_priority_5_ten_milliseconds_apart() {
        let tag = VlanTag {
            id: 85,
            pcp: 5,
            dei: false,
        };
        for sequence in 0..5 {
            let shape = CheckId::Tagged.shape(sequence).unwrap();
            assert_eq!(
                shape.tags,
                [Tag {
                    tpid: 0x8100,
                    vlan: tag
                }]
            );
            assert_eq!(shape.destination, Destination::Target);
        }
        assert_eq!(CheckId::Tagged.shape(5), None);
        assert_eq!(CheckId::Tagged.frames(), 5);
        assert_eq!(CheckId::Tagged.gap(), Duration::from_millis(10));
    }

    #[test]
    fn a_burst_is_due_by_the_clock_and_ends() {
        let burst = BurstPlan::lasting(250_000, Duration::from_secs(10));
        assert_eq!(burst.frames, 2_500_000);
        assert_eq!(burst.due(Duration::from_millis(1)), 250);
        assert_eq!(burst.due(Duration::from_secs(60)), burst.frames);
        assert_eq!(burst.duration(), Duration::from_secs(10));
        assert_eq!(
            BurstPlan::lasting(u32::MAX, Duration::MAX).frames,
            BurstPlan::MAX_FRAMES
        );
    }
}
