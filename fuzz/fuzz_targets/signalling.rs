//! SIP, SDP and SCCP: each message by itself, and what the resolver makes of a series of segments.
#![no_main]

use libfuzzer_sys::fuzz_target;
use silentmon_capture_core::filter::SignallingPorts;
use silentmon_capture_core::resolver::{Resolver, Signalling, Transport};
use silentmon_proto::time::Instant;
use silentmon_proto::{sccp, sdp, sip};

/// Four bytes before each piece: which way and what it is, number and length.
fn resolve(mut bytes: &[u8]) {
    let ports = SignallingPorts {
        sip: vec![5060],
        sccp: vec![2000],
    };
    let mut resolver = Resolver::new(ports, Instant::EPOCH);
    let mut clock = 0;
    let mut next = 0_u32;
    while let Some(([kind, number, low, high], rest)) = bytes.split_first_chunk() {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
        let (payload, rest) = rest.split_at(length);
        bytes = rest;
        clock += u64::from(*number) << 20;
        let port = if kind & 1 == 0 { 5060 } else { 2000 };
        let ends = [([10, 1, 1, 20], 40_000), ([10, 1, 1, 1], port)].map(Into::into);
        let [source, destination] = if kind & 2 == 0 { ends } else { [ends[1], ends[0]] };
        let transport = if kind & 4 == 0 {
            Transport::Udp
        } else {
            Transport::Tcp {
                sequence: next.wrapping_add(u32::from(number & 15)),
                opens: kind & 0x18 == 0x18,
                closes: kind & 0x60 == 0x60,
            }
        };
        next = next.wrapping_add(u32::try_from(length).unwrap_or(0));
        resolver.handle_signalling(&Signalling {
            captured: Instant::from_nanos(clock),
            source,
            destination,
            transport,
            payload,
        });
        while let Some((_, event)) = resolver.poll_event() {
            assert_eq!(event.check(), Ok(()));
        }
    }
    resolver.handle_timeout(Instant::from_nanos(u64::MAX));
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(message) = sip::Message::parse(bytes) {
        let _ = (message.from().uri.device(), message.to().tag(), message.bodies());
        let _ = message.values("contact").count();
    }
    for length in [sip::message_length(bytes).ok(), sccp::message_length(bytes).ok()] {
        assert!(length.flatten().is_none_or(|length| length <= bytes.len()));
    }
    let _ = (sip::find_start(bytes), sccp::find_start(bytes), sccp::Message::parse(bytes));
    let _ = sdp::SessionDescription::parse(bytes);
    resolve(bytes);
});
