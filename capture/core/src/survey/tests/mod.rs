//! Each fault of a mirror gives its own finding, and a healthy mirror none.

mod wire;

use std::net::Ipv4Addr;

use proptest::prelude::*;
use silentmon_proto::frame::{Frame, LinkType, MacAddress};
use silentmon_proto::reason::Code;
use silentmon_proto::time::Instant;

use super::{CopyFigures, Counters, Report, Severity, Survey, SurveyOptions, Verdict};
use wire::{OWN, Voice, Wire, at, ciphertext, play, rtp, show, survey};

fn codes(report: &Report) -> Vec<Code> {
    report.findings.iter().map(|finding| finding.code).collect()
}

/// The one finding there is.
fn only(report: &Report) -> (Code, Severity, &str) {
    assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
    let finding = &report.findings[0];
    assert!(!finding.fix.is_empty());
    (finding.code, finding.severity, &finding.text)
}

fn as_it_was(_: Voice, wire: Wire) -> Vec<Wire> {
    vec![wire]
}

#[test]
fn a_healthy_mirror_has_no_finding() {
    for calls in [1, 2, 4, 12] {
        let report = play(&mut survey(), calls, 200, as_it_was);
        assert_eq!((report.verdict, codes(&report)), (Verdict::Healthy, vec![]), "{calls}");
        assert!(report.notes.is_empty(), "{:?}", report.notes);
        assert_eq!((report.calls.two_way, report.calls.one_way), (u64::from(calls), 0));
    }
}

#[test]
fn frames_streams_and_tags_are_counted() {
    let report = play(&mut survey(), 3, 100, as_it_was);
    let frames = &report.frames;
    assert_eq!((frames.total, frames.datagrams, frames.seconds), (600, 600, 1.98));
    assert_eq!((frames.cut_by_capture, frames.cut_by_mirror), (0, 0));
    let stack = &report.tags.stacks[0];
    assert_eq!(
        (stack.vlan.as_slice(), stack.frames, stack.percent),
        (&[200][..], 600, 100.0)
    );
    assert_eq!(stack.priorities.iter().collect::<Vec<_>>(), [(&5, &600)]);
    assert_eq!((report.tags.untagged, report.destinations.foreign), (0, 600));
    assert_eq!((report.rtp.streams, report.rtp.packets, report.rtp.lost), (6, 600, 0));
    assert_eq!((report.rtp.codecs[0].codec, report.rtp.codecs[0].streams), ("PCMU", 6));
    assert_eq!((report.streams.len(), report.unlisted_streams), (6, 0));
    let gateway = &report.gateways[0];
    assert_eq!(
        (gateway.address.to_string().as_str(), gateway.streams, gateway.peers),
        ("10.9.9.9", 6, 3)
    );
    assert_eq!(report.talkers[0].address, gateway.address);
}

#[test]
fn no_frames_at_all_are_said_and_nothing_is_judged() {
    let mut survey = survey();
    survey.conclude();
    let report = survey.report();
    assert_eq!(report.verdict, Verdict::NoFrames);
    assert_eq!(only(&report).0, Code::NoFrames);
}

#[test]
fn frames_without_voice_are_no_finding_but_nothing_is_judged() {
    let report = play(&mut survey(), 1, 100, |voice, wire| {
        let payload = vec![u8::from(voice.reverse); 40];
        vec![Wire { payload, ..wire }]
    });
    assert_eq!((report.verdict, codes(&report)), (Verdict::NoVoice, vec![]));
    assert!(report.notes[0].contains("make a call"), "{:?}", report.notes);
}

#[test]
fn only_own_broadcast_and_multicast_frames_are_no_mirror() {
    let to = [OWN, MacAddress::BROADCAST, MacAddress([1, 0, 0x5e, 0, 0, 2])];
    let report = play(&mut survey(), 1, 30, |voice, wire| {
        let to = to[usize::from(voice.number % 3)];
        vec![Wire {
            to,
            payload: vec![0; 20],
            ..wire
        }]
    });
    let (code, severity, text) = only(&report);
    assert_eq!(
        (code, severity, report.verdict),
        (Code::OnlyOwnTraffic, Severity::Breaks, Verdict::Broken)
    );
    assert!(
        text.contains("20 to this interface, 20 broadcast, 20 multicast"),
        "{text}"
    );
}

#[test]
fn one_frame_for_another_station_shows_that_the_port_is_promiscuous() {
    let report = play(&mut survey(), 1, 30, |voice, wire| {
        let to = if voice.number == 7 {
            wire.to
        } else {
            MacAddress::BROADCAST
        };
        vec![Wire {
            to,
            payload: vec![0; 20],
            ..wire
        }]
    });
    assert_eq!(codes(&report), []);
}

#[test]
fn nobody_knows_of_a_file_who_its_frames_are_addressed_to() {
    let mut survey = Survey::new(SurveyOptions::default());
    let report = play(&mut survey, 1, 30, |_, wire| vec![Wire { to: OWN, ..wire }]);
    assert!(!codes(&report).contains(&Code::OnlyOwnTraffic));
}

/// The frame in VXLAN, as a mirror that ends at this very interface sends it.
fn in_tunnel(wire: &Wire) -> Wire {
    let mut payload = vec![8, 0, 0, 0, 0, 0, 7, 0];
    payload.extend(wire.bytes());
    Wire {
        to: OWN,
        from: MacAddress([2, 0, 0, 0, 5, 5]),
        tags: Vec::new(),
        hops: 63,
        source: Ipv4Addr::new(10, 5, 5, 5),
        destination: Ipv4Addr::new(10, 5, 5, 6),
        ports: (40_000, 4789),
        payload,
        cut: usize::MAX,
    }
}

#[test]
fn a_mirror_tunnel_that_ends_here_is_healthy() {
    let report = play(&mut survey(), 2, 200, |_, wire| vec![in_tunnel(&wire)]);
    assert_eq!((report.verdict, codes(&report)), (Verdict::Healthy, vec![]));
    assert_eq!(report.frames.tunnels.get("vxlan"), Some(&800));
    assert_eq!((report.destinations.own, report.destinations.own_tunnelled), (800, 800));
}

#[test]
fn a_mirror_of_one_direction_shows_one_side_only() {
    let report = play(
        &mut survey(),
        4,
        200,
        |voice, wire| if voice.reverse { vec![] } else { vec![wire] },
    );
    let (code, severity, text) = only(&report);
    assert_eq!((code, severity), (Code::OneSideOnly, Severity::Breaks));
    assert!(
        text.contains("Of 4 of 4 calls") && text.contains("200 packets from 10.1.1."),
        "{text}"
    );
}

#[test]
fn one_call_on_hold_among_others_is_only_noted() {
    let report = play(&mut survey(), 4, 200, |voice, wire| {
        if voice.reverse && voice.call == 2 {
            vec![]
        } else {
            vec![wire]
        }
    });
    assert_eq!((report.verdict, codes(&report)), (Verdict::Healthy, vec![]));
    assert!(
        report.notes[0].starts_with("1 of 4 calls have one side only"),
        "{:?}",
        report.notes
    );
}

#[test]
fn a_call_that_has_just_begun_and_a_page_to_a_group_are_not_one_way() {
    let short = play(
        &mut survey(),
        1,
        40,
        |voice, wire| if voice.reverse { vec![] } else { vec![wire] },
    );
    assert_eq!((codes(&short), short.calls.too_short), (vec![], 1));
    let group = Ipv4Addr::new(239, 1, 1, 1);
    let page = play(&mut survey(), 1, 200, |voice, wire| {
        if voice.reverse {
            vec![]
        } else {
            vec![Wire {
                destination: group,
                ..wire
            }]
        }
    });
    assert_eq!((codes(&page), page.calls), (vec![], super::CallFigures::default()));
}

#[test]
fn directions_with_ports_of_their_own_belong_together_by_address() {
    let report = play(&mut survey(), 2, 200, |voice, wire| {
        let ports = if voice.reverse {
            (wire.ports.0 + 100, wire.ports.1 + 6)
        } else {
            wire.ports
        };
        vec![Wire { ports, ..wire }]
    });
    assert_eq!((codes(&report), report.calls.two_way), (vec![], 2));
}

#[test]
fn a_phone_that_hears_another_server_than_it_speaks_to_is_answered() {
    let report = play(&mut survey(), 1, 200, |voice, wire| {
        let source = if voice.reverse {
            Ipv4Addr::new(10, 9, 9, 10)
        } else {
            wire.source
        };
        vec![Wire { source, ..wire }]
    });
    assert_eq!((codes(&report), report.calls.one_way), (vec![], 0));
}

#[test]
fn encrypted_calls_are_said() {
    let report = play(&mut survey(), 2, 200, |voice, wire| {
        let payload = if voice.call == 1 {
            rtp(0, voice, &ciphertext(voice))
        } else {
            wire.payload
        };
        vec![Wire { payload, ..wire }]
    });
    let (code, _, text) = only(&report);
    assert_eq!((code, report.rtp.encrypted), (Code::Encrypted, 2));
    assert!(text.starts_with("2 of 4 streams are encrypted (SRTP)"), "{text}");
}

#[test]
fn a_codec_that_is_not_built_in_is_said() {
    let report = play(&mut survey(), 1, 200, |voice, wire| {
        let payload = rtp(18, voice, &[7; 20]);
        vec![Wire { payload, ..wire }]
    });
    let (code, severity, text) = only(&report);
    assert_eq!((code, severity), (Code::CodecNotBuiltIn, Severity::Breaks));
    assert!(text.contains("G729 (2)"), "{text}");
}

/// What a mirror that shows each frame a second time, changed so, is told.
fn doubled(change: impl Fn(Wire) -> Wire) -> (CopyFigures, String) {
    let report = play(&mut survey(), 2, 100, |_, wire| vec![wire.clone(), change(wire)]);
    let (code, severity, text) = only(&report);
    assert_eq!(
        (code, severity, report.verdict),
        (Code::DuplicateMirror, Severity::Impairs, Verdict::Impaired)
    );
    assert!(
        text.starts_with("400 of 800 voice packets (50 %) are copies: 400 "),
        "{text}"
    );
    (report.copies, report.findings[0].fix.clone())
}

#[test]
fn copies_are_told_by_what_differs() {
    let none = CopyFigures {
        packets: 800,
        ..CopyFigures::default()
    };
    let (copies, fix) = doubled(|wire| wire);
    assert_eq!(
        copies,
        CopyFigures {
            same_frame: 400,
            ..none
        }
    );
    assert!(fix.contains("not overlap"), "{fix}");
    let router = MacAddress([2, 0, 0, 0, 7, 7]);
    let (copies, fix) = doubled(|wire| Wire {
        hops: 63,
        from: router,
        tags: vec![0xa12c],
        ..wire
    });
    assert_eq!(copies, CopyFigures { routed: 400, ..none });
    assert!(fix.contains("one side of the router"), "{fix}");
    let (copies, fix) = doubled(|wire| Wire {
        tags: vec![0xa12c],
        ..wire
    });
    assert_eq!(
        copies,
        CopyFigures {
            other_vlan: 400,
            ..none
        }
    );
    assert!(fix.contains("two VLANs"), "{fix}");
    let (copies, _) = doubled(|wire| Wire { from: router, ..wire });
    assert_eq!(
        copies,
        CopyFigures {
            other_stations: 400,
            ..none
        }
    );
    let (copies, _) = doubled(|wire| Wire {
        tags: Vec::new(),
        ..in_tunnel(&Wire {
            tags: Vec::new(),
            ..wire
        })
    });
    assert_eq!(
        copies,
        CopyFigures {
            other_tunnel: 400,
            ..none
        }
    );
}

#[test]
fn a_packet_sent_twice_now_and_then_is_no_overlap() {
    let report = play(&mut survey(), 4, 300, |voice, wire| {
        let times = if voice.number % 100 == 7 && voice.call == 1 {
            2
        } else {
            1
        };
        vec![wire; times]
    });
    assert_eq!((codes(&report), report.copies.total()), (vec![], 6));
}

#[test]
fn gaps_on_all_streams_at_once_are_the_mirrors() {
    let gap = |number: u16| number % 50 > 45;
    let report = play(&mut survey(), 4, 500, |voice, wire| {
        if gap(voice.number) { vec![] } else { vec![wire] }
    });
    let (code, severity, text) = only(&report);
    assert_eq!((code, severity), (Code::MirrorLoses, Severity::Breaks));
    // The last gap ends the stream: nothing shows it.
    assert_eq!((report.losses.in_mirror, report.losses.in_call), (288, 0), "{text}");
    assert_eq!(report.rtp.lost, 288);
}

#[test]
fn gaps_of_single_streams_are_the_calls_own() {
    let report = play(&mut survey(), 4, 500, |voice, wire| {
        let own = u16::from(voice.call) * 20 + u16::from(voice.reverse) * 10;
        let gone = (100..130).contains(&((voice.number + own * 5) % 400));
        if gone && !voice.reverse { vec![] } else { vec![wire] }
    });
    assert_eq!(
        (report.verdict, codes(&report), report.losses.in_mirror),
        (Verdict::Healthy, vec![], 0)
    );
    assert!(
        report.losses.in_call > 0 && report.notes[0].contains("The calls themselves miss"),
        "{report:?}"
    );
}

#[test]
fn what_the_kernel_drops_is_this_machines_fault() {
    let mut survey = survey();
    survey.handle_counters(Counters {
        received: 10_000,
        dropped: 300,
        dropped_by_interface: 0,
    });
    let report = play(&mut survey, 1, 100, as_it_was);
    let (code, severity, text) = only(&report);
    assert_eq!((code, severity), (Code::MirrorLoses, Severity::Impairs));
    assert!(
        text.starts_with("This machine loses 3 % of the frames: 300 dropped by the kernel"),
        "{text}"
    );
}

#[test]
fn gaps_while_the_kernel_dropped_frames_are_the_mirrors() {
    let mut survey = survey();
    let gone = |voice: Voice| voice.call == 1 && !voice.reverse && voice.number % 10 == 3;
    let dropped = Counters {
        received: 400,
        dropped: 20,
        dropped_by_interface: 0,
    };
    for number in 0..250 {
        for reverse in [false, true] {
            let voice = Voice {
                call: 1,
                reverse,
                number,
            };
            if !gone(voice) {
                show(&mut survey, &Wire::of(voice).bytes(), at(u64::from(number) * 20));
            }
        }
        survey.handle_counters(Counters {
            dropped: u64::from(number),
            ..dropped
        });
    }
    survey.conclude();
    let losses = survey.report().losses;
    assert_eq!((losses.in_call, losses.in_mirror), (0, 25));
}

#[test]
fn voice_cut_by_the_mirror_and_by_the_capture_is_told_apart() {
    let report = play(&mut survey(), 1, 200, |_, wire| vec![Wire { cut: 128, ..wire }]);
    let (code, severity, text) = only(&report);
    assert_eq!((code, severity), (Code::FramesCutShort, Severity::Breaks));
    assert!(
        text.contains("cut short by whoever mirrored") && report.frames.cut_by_mirror == 400,
        "{text}"
    );
    let mut survey = survey();
    for number in 0..100 {
        for reverse in [false, true] {
            let bytes = Wire::of(Voice {
                call: 1,
                reverse,
                number,
            })
            .bytes();
            survey.handle_frame(&Frame {
                link_type: LinkType::Ethernet,
                captured: at(u64::from(number) * 20),
                bytes: &bytes[..128],
                wire_length: 218,
            });
        }
    }
    let report = survey.report();
    assert!(only(&report).2.contains("the capture's snap length"), "{report:?}");
    assert_eq!((report.frames.cut_by_capture, report.frames.cut_by_mirror), (200, 0));
}

#[test]
fn what_breaks_listening_stands_before_what_impairs_it() {
    let report = play(&mut survey(), 2, 200, |voice, wire| {
        let payload = rtp(0, voice, &ciphertext(voice));
        let wire = Wire { payload, ..wire };
        if voice.reverse {
            vec![]
        } else {
            vec![wire.clone(), wire]
        }
    });
    assert_eq!(
        codes(&report),
        [Code::OneSideOnly, Code::Encrypted, Code::DuplicateMirror]
    );
    assert_eq!(report.verdict, Verdict::Broken);
}

#[test]
fn untagged_voice_is_noted() {
    let report = play(&mut survey(), 1, 100, |_, wire| vec![Wire { tags: vec![], ..wire }]);
    assert_eq!(
        (report.verdict, report.tags.untagged_percent),
        (Verdict::Healthy, 100.0)
    );
    assert!(
        report.notes[0].starts_with("No frame has a VLAN tag."),
        "{:?}",
        report.notes
    );
}

#[test]
fn signalling_is_counted() {
    let mut survey = survey();
    let wire = Wire::of(Voice {
        call: 1,
        reverse: false,
        number: 0,
    });
    let message = |text: &str| Wire {
        ports: (5060, 5060),
        payload: text.as_bytes().to_vec(),
        ..wire.clone()
    };
    for text in [
        "INVITE sip:8001@10.9.9.9 SIP/2.0\r\n\r\n",
        "SIP/2.0 200 OK\r\n\r\n",
        "NOTIFY of something else\r\n",
    ] {
        show(&mut survey, &message(text).bytes(), at(0));
    }
    let report_packet = [&[0x80, 201, 0, 1][..], &[0, 0, 0, 7]].concat();
    show(
        &mut survey,
        &Wire {
            payload: report_packet,
            ..wire
        }
        .bytes(),
        at(1),
    );
    let seen = survey.report().signalling;
    assert_eq!((seen.sip, seen.sccp, seen.rtcp), (2, 0, 1));
}

#[test]
fn more_addresses_than_are_kept_and_every_vlan_stay_within_bounds() {
    const ADDRESSES: u32 = 150_000;
    let mut survey = Survey::new(SurveyOptions::default());
    let voice = Voice {
        call: 1,
        reverse: false,
        number: 0,
    };
    let wire = Wire {
        payload: vec![0; 8],
        ..Wire::of(voice)
    };
    let mut bytes = wire.bytes();
    for number in 0..ADDRESSES {
        let [.., a, b, c] = number.to_be_bytes();
        // The tag's identifier, and the source of the IP packet after it.
        bytes[14..16].copy_from_slice(&[b & 0x0f, c]);
        bytes[30..34].copy_from_slice(&[10, a, b, c]);
        show(&mut survey, &bytes, at(0));
    }
    let report = survey.report();
    assert_eq!(report.frames.total, u64::from(ADDRESSES));
    // The gateway and 65,535 others are kept.
    assert_eq!(report.unlisted_addresses, u64::from(ADDRESSES) - 65_535);
    let listed: u64 = report.tags.stacks.iter().map(|stack| stack.frames).sum();
    assert_eq!(
        (report.tags.stacks.len(), listed + report.tags.unlisted),
        (64, u64::from(ADDRESSES))
    );
}

#[test]
fn streams_beyond_a_thousand_are_counted_and_not_listed() {
    let mut survey = Survey::new(SurveyOptions::default());
    for number in 0..3 {
        for port in 0..1500_u16 {
            let voice = Voice {
                call: 1,
                reverse: false,
                number,
            };
            let wire = Wire::of(voice);
            show(
                &mut survey,
                &Wire {
                    ports: (20_000 + port * 2, 30_000),
                    ..wire
                }
                .bytes(),
                at(u64::from(number) * 20),
            );
        }
    }
    let report = survey.report();
    assert_eq!(
        (report.rtp.streams, report.streams.len(), report.unlisted_streams),
        (1500, 1000, 500)
    );
}

proptest! {
    #[test]
    fn any_frames_are_counted_and_never_panic(
        frames in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..120), any::<u32>(), any::<u64>(), 0u16..300), 0..40)
    ) {
        let mut survey = Survey::new(SurveyOptions { own: Some(OWN) });
        for (bytes, wire_length, captured, link_type) in &frames {
            survey.handle_frame(&Frame {
                link_type: LinkType::from_pcap(*link_type),
                captured: Instant::from_nanos(*captured),
                bytes,
                wire_length: *wire_length,
            });
        }
        survey.conclude();
        prop_assert_eq!(survey.report().frames.total, frames.len() as u64);
    }
}
