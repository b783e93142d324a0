//! Sessions of others: their ids and channel numbers are no keys.

use std::time::Duration;

use serde_json::{Value, json};
use silentmon_proto::ids::Leg;
use silentmon_proto::relay::RepairRequest;

use crate::dialler::Dialler;
use crate::{Target, run};

#[test]
fn the_id_of_a_session_is_no_key_to_it() {
    let target = Target::build();
    run(async {
        let mut anna = Dialler::dial(&target.house, "anna", target.server).await;
        let started = anna.start("4711", &json!({})).await;
        let (session, channel) = (started["session"].clone(), channel(&started));
        anna.hear_sound(20).await;

        let mut bert = Dialler::dial(&target.house, "bert", target.server).await;
        bert.say(&json!({"type": "stop_monitor", "session": session})).await;
        bert.say(
            &json!({"type": "supervise", "request": 8, "session": session, "action": "barge_in", "device": "3009"}),
        )
        .await;
        let answer = bert.hear_of("supervised").await;
        assert!(answer["result"]["Err"].is_string(), "{answer}");
        bert.say(&json!({"type": "diagnose", "request": 9, "session": session}))
            .await;
        let answer = bert.hear_of("diagnosis").await;
        assert_eq!(answer["agent"], Value::Null, "whom anna hears is not told: {answer}");

        for leg in Leg::BOTH {
            for base in (0..2_000).step_by(64) {
                let mut request = RepairRequest::new(channel, leg, 3);
                for number in base..base + 64 {
                    request.ask(number);
                }
                let datagram = request.to_bytes().to_vec();
                bert.connection.send_datagram_wait(datagram.into()).await.expect("sent");
            }
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(bert.datagrams().await.is_empty(), "not one packet of anna's session");

        let resumed = bert.start("4711", &json!({"resume": session})).await;
        assert_eq!(resumed["type"], "monitor_started", "bert may hear him too: {resumed}");
        assert_ne!(resumed["session"], session, "but in a session of his own");

        let _ = anna.datagrams().await;
        anna.hear_sound(50).await;
    });
    let counts = target.refused();
    let foreign = counts["repair"] + counts["too_many_repair_requests"];
    assert!(foreign >= 64.0, "{counts:?}");
}

fn channel(started: &Value) -> u16 {
    let channel = started["channel"].as_u64().and_then(|channel| channel.try_into().ok());
    channel.expect("a channel")
}
