//! RTP events to media addresses: which address is the phone's, whatever the order of the events (protocol sheet 1.5).
//!
//! Only an event of direction Input (or both) says where the phone is. The client address of an Output event may be the
//! far end; such an event waits until the phone's address is known.

use silentmon_proto::cti::ged188::{
    ConnectionCallId, ConnectionDeviceIdType, Floating, RtpDirection, RtpStartedEvent, RtpStoppedEvent, RtpType, Tag,
    Wire,
};
use silentmon_proto::cti::{CtiEvent, MediaDirection, MediaStarted, MediaStopped};
use silentmon_proto::ids::{AgentId, CallId, Extension, MediaAddress};

use super::agents::{agent_id, extension};
use super::calls::{CallKey, Calls, PARTIES};

/// The media of one device in one call.
#[derive(Debug, Clone, Default)]
pub(super) struct Media {
    /// Where the phone receives.
    phone: Option<MediaAddress>,
    /// Where it sends to.
    remote: Option<MediaAddress>,
    /// The codec in an Output event that came before the phone's address was known.
    waiting: Option<Codec>,
}

/// A codec's encoding name, where the source names one.
type Codec = Option<&'static str>;

/// Whom an RTP event is about.
struct Subject {
    agent: Option<AgentId>,
    call: Option<CallId>,
    device: Extension,
}

/// Takes an RTP_STARTED_EVENT.
pub(super) fn started(calls: &mut Calls, key: CallKey, event: &RtpStartedEvent) -> Vec<CtiEvent> {
    let subject = subject(calls, key, event.connection_device_id_type, &event.floating);
    let Some(subject) = subject.filter(|_| event.rtp_type == RtpType::AUDIO) else {
        return Vec::new();
    };
    let call = calls.call(key);
    if call.media.len() >= PARTIES && !call.media.contains_key(&subject.device) {
        return Vec::new();
    }
    let media = call.media.entry(subject.device.clone()).or_default();
    let codec = event.payload_type.encoding_name();
    let receives = matches!(event.direction, RtpDirection::INPUT | RtpDirection::BIDIRECTIONAL);
    let sends = matches!(event.direction, RtpDirection::OUTPUT | RtpDirection::BIDIRECTIONAL);
    if receives {
        media.phone = event.client_address().or(media.phone);
    }
    if sends {
        media.remote = event.sending_address();
    }
    let Some(phone) = media.phone else {
        media.waiting = sends.then_some(codec).or(media.waiting);
        return Vec::new();
    };
    let told = |direction, codec: Codec| {
        CtiEvent::from(MediaStarted {
            agent: subject.agent.clone(),
            device: Some(subject.device.clone()),
            call: subject.call.clone(),
            remote: media.remote,
            direction,
            codec: codec.map(str::to_owned),
            ..MediaStarted::at(phone)
        })
    };
    let direction = event.direction.media_direction();
    let waiting = media.waiting.take();
    let output = waiting.map(|codec| told(Some(MediaDirection::Send), codec));
    [told(direction, codec)].into_iter().chain(output).collect()
}

/// Takes an RTP_STOPPED_EVENT.
pub(super) fn stopped(calls: &mut Calls, key: CallKey, event: &RtpStoppedEvent) -> Option<CtiEvent> {
    let subject = subject(calls, key, event.connection_device_id_type, &event.floating)?;
    let client = event.client_address();
    let media = calls.find_mut(key).and_then(|call| call.media.get_mut(&subject.device));
    let phone = media.and_then(|media| {
        let phone = media.phone;
        media.forget(event.direction, client);
        phone
    });
    let address = match event.direction {
        RtpDirection::OUTPUT => phone,
        _ => client.or(phone),
    };
    let stopped = MediaStopped {
        agent: subject.agent,
        device: Some(subject.device),
        call: subject.call,
        address,
        direction: event.direction.media_direction(),
    };
    Some(stopped.into())
}

impl Media {
    /// What stopped isn't known any longer, unless the phone has moved on already.
    fn forget(&mut self, direction: RtpDirection, client: Option<MediaAddress>) {
        if direction != RtpDirection::INPUT {
            self.remote = None;
            self.waiting = None;
        }
        if direction != RtpDirection::OUTPUT && client.is_none_or(|client| self.phone == Some(client)) {
            self.phone = None;
        }
    }
}

fn subject(
    calls: &Calls,
    key: CallKey,
    device_id_type: Option<ConnectionDeviceIdType>,
    floating: &Floating,
) -> Option<Subject> {
    let connection = (device_id_type != Some(ConnectionDeviceIdType::DYNAMIC)).then_some(Tag::CONNECTION_DEVICE_ID);
    let names = connection
        .into_iter()
        .chain([Tag::AGENT_EXTENSION, Tag::AGENT_INSTRUMENT]);
    Some(Subject {
        agent: agent_id(floating),
        call: (key.call != ConnectionCallId::NONE).then(|| calls.resolve(key).id()),
        device: names.into_iter().find_map(|tag| extension(floating, tag))?,
    })
}
