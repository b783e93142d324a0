use proptest::prelude::*;

use super::*;

/// What may happen to a link.
#[derive(Debug, Clone)]
enum Happening {
    Connected(usize),
    Closed(usize),
    Bytes(usize, Vec<u8>),
    Said(usize, u32, Vec<u8>),
    Passed(u64),
    Reconnect,
    Snapshot,
    Accepted(usize, u16),
}

fn happening() -> impl Strategy<Value = Happening> {
    let side = 0..3_usize;
    let bytes = prop::collection::vec(any::<u8>(), 0..80);
    let numbers = prop_oneof![1..40_u32, 82..86_u32, 105..137_u32, 277..282_u32];
    prop_oneof![
        side.clone().prop_map(Happening::Connected),
        side.clone().prop_map(Happening::Closed),
        (side.clone(), bytes.clone()).prop_map(|(side, bytes)| Happening::Bytes(side, bytes)),
        (side.clone(), numbers, bytes).prop_map(|(side, number, body)| Happening::Said(side, number, body)),
        (0..60_000_u64).prop_map(Happening::Passed),
        Just(Happening::Reconnect),
        Just(Happening::Snapshot),
        (side, 0..3_u16).prop_map(|(side, session_type)| Happening::Accepted(side, session_type)),
    ]
}

impl Lab {
    fn happens(&mut self, happening: Happening) {
        match happening {
            Happening::Connected(side) => self.connected(side),
            Happening::Closed(side) => self.closed(side, Closed::ByPeer),
            Happening::Bytes(side, bytes) => self.bytes(side, &bytes),
            Happening::Said(side, number, body) => {
                let length = u32::try_from(body.len()).expect("a short body");
                let header = [length.to_be_bytes(), number.to_be_bytes()].concat();
                self.bytes(side, &[header, body].concat());
            }
            Happening::Passed(milliseconds) => self.pass(Duration::from_millis(milliseconds)),
            Happening::Reconnect => self.command(LinkCommand::Reconnect),
            Happening::Snapshot => self.command(LinkCommand::SnapshotDevice("3001".into())),
            Happening::Accepted(side, session_type) => self.say(
                side,
                OpenConf {
                    services_granted: ServiceMask(u32::MAX),
                    session_type: SessionType(session_type),
                    ..OpenConf::default()
                },
            ),
        }
    }

    /// Answers whatever is asked for as a CTI Server would, until a session has been open for a while.
    fn comes_back(&mut self) -> bool {
        let mut open_since = None;
        for _ in 0..5000 {
            for output in self.take_outputs() {
                match output {
                    StreamOutput::Connect(Endpoint(side)) => self.connected(side),
                    StreamOutput::Send(Endpoint(side), bytes) => self.answer(side, &bytes),
                    StreamOutput::Disconnect(_) => open_since = None,
                }
            }
            let is_open = self.link.told == Some(Ok(()));
            open_since = open_since.or(Some(self.now)).filter(|_| is_open);
            if open_since.is_some_and(|since| self.now - since > seconds(60)) {
                return true;
            }
            self.pass(Duration::from_millis(500));
        }
        false
    }

    fn answer(&mut self, side: usize, bytes: &[u8]) {
        let invoke_id = InvokeId(u32::from_be_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]));
        match bytes[7] {
            3 => {
                self.version = ProtocolVersion::from_wire(&bytes[12..16]);
                let granted = OpenConf {
                    invoke_id,
                    services_granted: ServiceMask::ALL_EVENTS,
                    ..OpenConf::default()
                };
                self.say(side, granted);
            }
            5 => self.say(side, heartbeat_conf(invoke_id)),
            7 => self.say(
                side,
                CloseConf {
                    invoke_id,
                    ..CloseConf::default()
                },
            ),
            _ => {}
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_the_link_waits_for_something_and_comes_back(
        happenings in prop::collection::vec(happening(), 0..60),
        active_standby: bool,
    ) {
        let mut settings = settings();
        settings.active_standby = active_standby;
        let mut lab = Lab::new(settings);
        for happening in happenings {
            lab.happens(happening);
            prop_assert!(lab.link.poll_timeout().is_some());
        }
        // Connections that were open or under way when the others' doings ended are gone.
        lab.take_outputs();
        lab.closed(A, Closed::ByPeer);
        lab.closed(B, Closed::ByPeer);
        prop_assert!(lab.comes_back());
    }

    #[test]
    fn any_bytes_in_an_open_session_do_no_harm(portions in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20)) {
        let mut lab = Lab::open();
        for bytes in portions {
            lab.bytes(A, &bytes);
            lab.bytes(B, &bytes);
            prop_assert!(lab.link.poll_timeout().is_some());
        }
    }
}
