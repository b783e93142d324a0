//! What the holder tells of all agents is taken up in pieces, and what is told afterwards waits for it.

use silentmon_proto::peer::{Fact, PeerMessage};

use super::net::{Net, agent};
use super::*;

/// More than one piece.
const AGENTS: usize = 25;

fn told(event: impl Into<CtiEvent>) -> Fact {
    let event = event.into();
    Fact::Cti { link: None, event }
}

fn calls(engine: &Engine) -> usize {
    let agents = engine.directory.agents();
    agents.map(|(_, agent)| agent.calls().len()).sum()
}

#[test]
fn other_things_can_happen_between_the_pieces_and_the_latest_word_holds() {
    let mut net = Net::of(2);
    net.talks(AGENTS, &[(1, BOTH)]);
    net.run(3.0);
    let link = net.link(0, 1).expect("they are connected");
    let call = |number: usize, kind| CallEvent::of_agent(agent(number), format!("told {number}").as_str(), kind);
    let facts = (0..AGENTS).map(|number| told(call(number, CallEventKind::Established)));
    let snapshot = PeerMessage::Snapshot {
        number: 1_000,
        facts: facts.collect(),
        more: false,
    };
    let ended = PeerMessage::News {
        number: 1_001,
        fact: told(call(0, CallEventKind::ConnectionCleared)),
    };
    net.on(1, |engine, now| {
        assert_eq!(calls(engine), 1);
        engine.handle_peer_message(link, snapshot, now);
        engine.handle_peer_message(link, ended, now);
        let (mut at, mut pieces) = (now + Duration::from_micros(1), 1);
        while engine.poll_timeout() <= at {
            assert!((2..=AGENTS + 1).contains(&calls(engine)), "only some were taken up");
            engine.handle_timeout(at);
            at += Duration::from_micros(1);
            pieces += 1;
        }
        assert!(pieces > 3, "{pieces}");
        // The holder didn't tell of the call that was there, so that it is over; and the first agent's ended afterwards.
        assert_eq!(calls(engine), AGENTS - 1);
    });
}
