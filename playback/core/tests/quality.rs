//! What the player says of its packets' fates: lost on the relay, before it, or late, and how they bunch.
#![allow(clippy::expect_used, reason = "a test may fail here")]

use std::time::Duration;

use silentmon_playback_core::player::{Player, PlayoutSettings};
use silentmon_playback_core::quality::LossCounts;
use silentmon_playback_core::report::LegReport;
use silentmon_proto::codec::Codec;
use silentmon_proto::ids::Leg;
use silentmon_proto::quality::Verdict;
use silentmon_proto::relay::{AudioHeader, AudioKind};
use silentmon_proto::time::Instant;

const START: Instant = Instant::from_parts(1_700_000_000, 0);
const PACKETS: u16 = 500;

/// What happens to the packet with this number on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Through,
    LostInCall,
    LostOnRelay,
    Late,
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn packet(number: u16) -> Vec<u8> {
    let mut rtp = vec![0x80, 0];
    rtp.extend_from_slice(&number.to_be_bytes());
    rtp.extend_from_slice(&(u32::from(number) * 160).to_be_bytes());
    rtp.extend_from_slice(&7_u32.to_be_bytes());
    rtp.extend((0..160).map(|at: u8| 0x80 | at.wrapping_mul(37)));
    rtp
}

/// Plays ten seconds of the agent's side.
fn report(way: impl Fn(u16) -> Way) -> LegReport {
    let mut player = Player::new(PlayoutSettings::default());
    let mut relay_sequence = 0;
    let mut arrivals = Vec::new();
    for number in 0..PACKETS {
        let captured = START + ms(20) * u32::from(number);
        let header = AudioHeader {
            kind: AudioKind::Rtp,
            leg: Leg::Agent,
            again: false,
            codec: Codec::Pcmu,
            channel: 1,
            relay_sequence,
            captured,
        };
        relay_sequence += u32::from(way(number) != Way::LostInCall);
        match way(number) {
            Way::Through => arrivals.push((captured, header, number)),
            Way::Late => arrivals.push((captured + ms(700), header, number)),
            Way::LostInCall | Way::LostOnRelay => {}
        }
    }
    arrivals.sort_by_key(|(at, ..)| *at);
    let mut arrivals = arrivals.into_iter().peekable();
    let mut frames = [[0.0; 2]; 80];
    for tick in 0..1100 {
        let now = START + ms(10) * tick;
        while let Some((at, header, number)) = arrivals.next_if(|(at, ..)| *at <= now) {
            player.handle_packet(at, &header, &packet(number));
        }
        player.pull(now, &mut frames);
    }
    player.report(Leg::Agent)
}

#[test]
fn an_undamaged_call_is_as_good_as_its_codec() {
    let report = report(|_| Way::Through);
    assert_eq!(report.copy, report.heard);
    assert_eq!(
        (report.copy.packets, report.copy.missing(), report.packet_time),
        (u64::from(PACKETS), 0, ms(20))
    );
    let figures = report.copy_figures(&LossCounts::default());
    assert_eq!(
        (figures.r, figures.mos, figures.verdict),
        (Some(93.2), Some(4.41), Some(Verdict::Good))
    );
}

#[test]
fn each_loss_is_counted_where_it_happened() {
    let report = report(|number| match number {
        100 | 101 | 103 => Way::LostOnRelay,
        200 => Way::LostInCall,
        300 => Way::Late,
        _ => Way::Through,
    });
    let (copy, heard) = (report.copy, report.heard);
    assert_eq!((copy.packets, copy.lost, copy.discarded), (u64::from(PACKETS), 3, 1));
    assert_eq!((copy.bursts, copy.burst_packets, copy.runs), (1, 4, 3));
    assert_eq!((heard.packets, heard.lost, heard.discarded), (u64::from(PACKETS), 4, 1));
}

#[test]
fn what_the_mirror_lost_is_part_of_our_copy() {
    let report = report(|number| if number == 200 { Way::LostInCall } else { Way::Through });
    let mirror = LossCounts {
        packets: u64::from(PACKETS),
        lost: 1,
        runs: 1,
        gaps: 1,
        ..LossCounts::default()
    };
    let (alone, with_mirror) = (
        report.copy_figures(&LossCounts::default()),
        report.copy_figures(&mirror),
    );
    assert_eq!((alone.loss_percent, with_mirror.loss_percent), (0.0, 0.2));
    assert!(with_mirror.r < alone.r);
    assert!(report.mos() < Some(4.41));
}
