//! The hop of the media: in clear, and of a codec that is built in?

use silentmon_proto::codec::Codec;
use silentmon_proto::ids::PayloadType;
use silentmon_proto::reason::{Code, Evidence, Reason};

use super::Case;
use super::case::{LegCase, Subject};
use crate::directory::MediaLeg;

pub(super) fn playable(case: &Case<'_>) -> Option<Reason> {
    let subject = case.subject.as_ref()?;
    if subject.media.is_empty() {
        return None;
    }
    encrypted(subject).or_else(|| foreign(subject))
}

fn encrypted(subject: &Subject<'_>) -> Option<Reason> {
    if subject.legs.iter().any(|leg| leg.heard) {
        return None;
    }
    if subject.legs.iter().any(|leg| leg.encrypted) {
        return Some(Reason::new(
            Code::Encrypted,
            "The call is encrypted (SRTP, recognised by its payload); it can't be heard.",
        ));
    }
    let leg = subject.is_announced_encrypted()?;
    let (origin, address) = (leg.origin.words(), leg.address);
    let text = format!(
        "The call is encrypted (SRTP, announced by the signalling: {origin} for {address}); it can't be heard."
    );
    Some(Reason::new(Code::Encrypted, text))
}

fn foreign(subject: &Subject<'_>) -> Option<Reason> {
    let heard = subject.legs.iter().filter(|leg| leg.heard);
    let (codec, payload_type) = heard
        .filter_map(|leg| leg.codec)
        .find(|(codec, _)| !codec.is_built_in())?;
    Some(not_built_in(codec, payload_type, &subject.media))
}

/// One that nobody described may still have been named by whoever told of the media.
fn not_built_in(codec: Codec, payload_type: PayloadType, media: &[MediaLeg]) -> Reason {
    let unknown = |name: &&str| Codec::from_encoding(name).is_none();
    let name = match codec {
        Codec::Unknown => media.iter().filter_map(|leg| leg.codec.as_deref()).find(unknown),
        _ => Some(codec.name()),
    };
    let number = payload_type.0;
    let text = match name {
        Some(name) => format!("Codec {name} (payload type {number}) is not built in."),
        None => format!("Nobody tells which codec payload type {number} is; it can't be played."),
    };
    Reason::new(Code::CodecNotBuiltIn, text)
}

pub(super) fn playable_evidence(case: &Case<'_>) -> Evidence {
    let Some(subject) = &case.subject else {
        return Evidence::new();
    };
    let named = subject.media.iter().find_map(|leg| leg.codec.as_deref());
    let [agent, customer] = subject.legs.map(carries);
    Evidence::new()
        .with_known("from the phone", agent)
        .with_known("to the phone", customer)
        .with_known("codec as told", named)
}

fn carries(leg: LegCase) -> Option<String> {
    let codec = leg
        .codec
        .map(|(codec, number)| format!("{codec} (payload type {})", number.0));
    match (leg.encrypted && !leg.heard, codec) {
        (true, Some(codec)) => Some(format!("encrypted, as {codec}")),
        (true, None) => Some("encrypted".to_owned()),
        (false, codec) => codec,
    }
}
