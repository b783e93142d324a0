//! Packets that a supervisor's program asks for again.

use silentmon_proto::relay::{LegStatus, RepairRequest};

use super::*;

const ROUND_TRIP: Duration = Duration::from_millis(40);

impl House {
    fn ask(&mut self, from: ConnectionId, request: &RepairRequest) -> Vec<AudioHeader> {
        let before = self.audio(from).len();
        self.engine.handle_repair_request(from, request, ROUND_TRIP, self.now);
        self.collect();
        self.audio(from)
            .iter()
            .skip(before)
            .map(|(header, _)| *header)
            .collect()
    }

    fn customer(&mut self) -> LegStatus {
        self.pass(Duration::from_secs(1));
        let [_, customer] = self.last_status().legs;
        customer
    }
}

/// Anna hears the customer of agent 4711; the channel of her session.
fn heard() -> (House, u16) {
    let mut house = House::new();
    house.talking();
    house.start(ANNA, "4711", None);
    house.heard(GATEWAY, PHONE, 100);
    let channel = house.audio(ANNA).last().expect("something is heard").0.channel;
    (house, channel)
}

fn request(channel: u16, numbers: &[u32]) -> RepairRequest {
    let mut request = RepairRequest::new(channel, Leg::Customer, 0);
    assert!(numbers.iter().all(|&number| request.ask(number)));
    request
}

#[test]
fn a_lost_packet_is_sent_again_as_it_was() {
    let (mut house, channel) = heard();
    let sent = house.audio(ANNA);
    let (first, rtp) = sent[sent.len() - 3].clone();
    let again = house.ask(ANNA, &request(channel, &[first.relay_sequence]));
    assert_eq!(again, [AudioHeader { again: true, ..first }]);
    assert_eq!(house.audio(ANNA).last().map(|(_, bytes)| bytes), Some(&rtp));
    let status = house.customer();
    assert_eq!((status.asked, status.resent, status.relayed), (1, 1, sent.len() as u64));
}

#[test]
fn nobody_gets_packets_of_anothers_session() {
    let (mut house, channel) = heard();
    house.start(BERT, "4711", None);
    house.heard(GATEWAY, PHONE, 100);
    let number = house.audio(ANNA).last().expect("heard").0.relay_sequence;
    assert_eq!(house.ask(BERT, &request(channel, &[number])), []);
    assert_eq!(house.ask(BERT, &request(channel.wrapping_add(99), &[number])), []);
    assert_eq!(house.ask(ConnectionId(99), &request(channel, &[number])), []);
    assert_eq!(house.engine.foreign_requests().values().sum::<u64>(), 3);
    assert_eq!(house.ask(ANNA, &request(channel, &[number])).len(), 1);
}

#[test]
fn what_is_kept_goes_with_the_second_and_with_the_session() {
    let (mut house, _) = heard();
    assert!((50 * 172..=51 * 172).contains(&house.engine.kept_bytes()));
    house.pass(Duration::from_secs(3));
    assert_eq!(house.engine.kept_bytes(), 0);
    house.heard(GATEWAY, PHONE, 10);
    assert!(house.engine.kept_bytes() > 0);
    house.say(
        ANNA,
        ClientMessage::StopMonitor {
            session: house.session(),
        },
    );
    assert_eq!(house.engine.kept_bytes(), 0);
}

#[test]
fn a_path_too_narrow_for_the_packets_gets_none_twice() {
    let (mut house, channel) = heard();
    let number = house.audio(ANNA).last().expect("heard").0.relay_sequence;
    let session = house.session();
    house.engine.handle_shed(session, Leg::Customer, 1);
    assert_eq!(house.ask(ANNA, &request(channel, &[number])), []);
    house.pass(Duration::from_millis(990));
    assert_eq!(house.ask(ANNA, &request(channel, &[number])).len(), 1);
    assert_eq!(house.customer().refused, 1);
}

#[test]
fn copies_are_sent_as_asked_and_the_path_is_made_fit() {
    let (mut house, channel) = heard();
    house.ask(ANNA, &RepairRequest::new(channel, Leg::Customer, 3));
    assert_eq!(house.engine.streams_over(ANNA), 3);
    let changed = EngineEvent::DemandChanged { connection: ANNA };
    assert_eq!(house.count(|event| *event == changed), 1);
    let before = house.audio(ANNA).len();
    house.heard(GATEWAY, PHONE, 10);
    let sent = house.audio(ANNA).split_off(before);
    let pairs: Vec<_> = sent.chunks(2).map(|pair| (pair[0].0, pair[1].0)).collect();
    assert_eq!(pairs.len(), 10);
    for (fresh, copy) in pairs {
        assert!(!fresh.again && copy.again);
        assert_eq!(fresh.relay_sequence, copy.relay_sequence + 3);
    }
    house.pass(Duration::from_secs(4));
    assert_eq!(house.engine.streams_over(ANNA), 2, "the wish wasn't renewed");
    assert_eq!(house.customer().copies, 10);
}

#[test]
fn copies_that_policy_refuses_are_not_sent() {
    let mut house = House::with_policy(|policy| policy.copies = Copies::Refused);
    house.talking();
    house.start(ANNA, "4711", None);
    house.heard(GATEWAY, PHONE, 100);
    let channel = house.audio(ANNA).last().expect("heard").0.channel;
    house.ask(ANNA, &RepairRequest::new(channel, Leg::Customer, 3));
    assert_eq!(house.heard(GATEWAY, PHONE, 10), 10);
}
