//! Paths and bodies of requests.
//!
//! The stream has its own URL root, as have the services of a user (Xsi-Actions), which hoteling needs.

use std::fmt::Write as _;

use super::NAMESPACE;
use super::event::AgentAcdState;
use crate::cti::xml::escape;

/// Where the stream is asked for.
pub const OPEN_CHANNEL: &str = "/com.broadsoft.async/com.broadsoft.xsi-events/v2.0/channel";
/// Where events are acknowledged.
pub const EVENT_RESPONSE: &str = "/com.broadsoft.xsi-events/v2.0/channel/eventresponse";

const EVENTS: &str = "/com.broadsoft.xsi-events/v2.0";
const ACTIONS: &str = "/com.broadsoft.xsi-actions/v2.0";
const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";

/// The path of a channel.
pub fn channel(channel_id: &str) -> String {
    format!("{EVENTS}/channel/{}", segment(channel_id))
}

/// The path of a channel's heartbeat.
pub fn heartbeat(channel_id: &str) -> String {
    format!("{EVENTS}/channel/{}/heartbeat", segment(channel_id))
}

/// Where a user's events are subscribed to.
pub fn user(user_id: &str) -> String {
    format!("{EVENTS}/user/{}", segment(user_id))
}

/// The path of a subscription.
pub fn subscription(subscription_id: &str) -> String {
    format!("{EVENTS}/subscription/{}", segment(subscription_id))
}

/// The path of a user's service in Xsi-Actions, `CallCenter`.
pub fn service(user_id: &str, service: &str) -> String {
    format!("{ACTIONS}/user/{}/services/{service}", segment(user_id))
}

/// Asks for a channel.
pub fn open_channel(channel_set_id: &str, priority: u32, expires: u64, application_id: &str) -> String {
    document(
        "Channel",
        &[
            ("channelSetId", channel_set_id),
            ("priority", &priority.to_string()),
            ("weight", "50"),
            ("expires", &expires.to_string()),
            ("applicationId", application_id),
        ],
    )
}

/// Asks for the events of a package, `Advanced Call`.
pub fn subscribe(package: &str, expires: u64, channel_set_id: &str, application_id: &str) -> String {
    document(
        "Subscription",
        &[
            ("event", package),
            ("expires", &expires.to_string()),
            ("channelSetId", channel_set_id),
            ("applicationId", application_id),
        ],
    )
}

/// Acknowledges an event.
pub fn event_response(event_id: &str) -> String {
    document(
        "EventResponse",
        &[("eventID", event_id), ("statusCode", "200"), ("reason", "OK")],
    )
}

/// Asks for more time for a channel.
pub fn refresh_channel(expires: u64) -> String {
    document("Channel", &[("expires", &expires.to_string())])
}

/// Asks for more time for a subscription, and thereby for its state anew.
pub fn refresh_subscription(expires: u64) -> String {
    document("Subscription", &[("expires", &expires.to_string())])
}

/// Sets the state of an agent (service `CallCenter`).
pub fn agent_state(state: AgentAcdState) -> String {
    document("CallCenter", &[("agentACDState", state.word())])
}

/// Forwards all calls of a user, or no longer (service `CallForwardingAlways`).
pub fn call_forwarding_always(to: Option<&str>) -> String {
    match to {
        Some(number) => document(
            "CallForwardingAlways",
            &[("active", "true"), ("forwardToPhoneNumber", number)],
        ),
        None => document("CallForwardingAlways", &[("active", "false")]),
    }
}

/// Associates a guest with a host, or ends the association (service `HotelingGuest`).
pub fn hoteling_guest(host_user_id: Option<&str>) -> String {
    match host_user_id {
        Some(host) => document("HotelingGuest", &[("active", "true"), ("hostUserId", host)]),
        None => document("HotelingGuest", &[("active", "false")]),
    }
}

fn document(root: &str, children: &[(&str, &str)]) -> String {
    let mut text = format!("{DECLARATION}<{root} xmlns=\"{NAMESPACE}\">");
    for (name, value) in children {
        // Writing to a String can't fail.
        let _ = write!(text, "<{name}>{}</{name}>", escape(value));
    }
    let _ = write!(text, "</{root}>");
    text
}

/// An id as a path segment (RFC 3986, section 3.3).
fn segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for &byte in text.as_bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~@:!$&'()*+,;=".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
