//! Certificates that are good no longer while their holder listens.

use super::*;

#[test]
fn a_supervisor_whose_certificate_is_revoked_hears_nothing_more_and_is_told_why() {
    let mut house = House::new();
    house.talking();
    house.start(ANNA, "4711", None);
    house.start(BERT, "4711", None);
    house.stream(PHONE, GATEWAY, 0..10, speech);
    let reason = Reason::new(Code::CertificateRefused, "Your certificate has been revoked.");
    house.engine.handle_withdrawn(ANNA, reason.clone(), house.now);
    house.collect();
    house.stream(PHONE, GATEWAY, 10..20, speech);
    assert_eq!(house.audio(ANNA).len(), 10);
    assert_eq!(house.audio(BERT).len(), 20, "others go on listening");
    let told = house
        .messages()
        .rev()
        .find(|(to, _)| *to == ANNA)
        .map(|(_, message)| message.clone());
    assert_eq!(told, Some(ServerMessage::Goodbye { reason: reason.clone() }));
    assert!(
        house
            .sent
            .iter()
            .any(|sent| matches!(sent, Transmit::Close { connection } if *connection == ANNA))
    );
    let stopped = |event: &EngineEvent| matches!(event, EngineEvent::SessionStopped(_, why) if *why == reason);
    assert_eq!(house.count(stopped), 1);
    assert_eq!(
        house.count(|event| matches!(event, EngineEvent::ConnectionWithdrawn { .. })),
        1
    );
}
