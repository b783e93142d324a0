//! SIP calls as a listener sees them: who they are between, what both sides say of their media, how they end.
//!
//! Each hop of a call is a dialog of its own here, known by its Call-ID and the two machines it runs between. So a phone
//! and the proxy or PBX beside it are told apart, and the same call seen on both sides of a proxy yields each phone's
//! own address: see [`endpoints`].

mod dialog;
mod endpoints;

use std::net::IpAddr;
use std::time::Duration;

use foldhash::HashMap;
use silentmon_proto::sip::Message;
use silentmon_proto::time::Instant;

use super::publish::Publisher;
use dialog::{Dialog, Fate};
use endpoints::Endpoints;

/// Calls at a time; a new one displaces the one silent longest.
const MOST_DIALOGS: usize = 20_000;
/// A longer Call-ID is nobody's.
const LONGEST_CALL_ID: usize = 512;
/// How long a call that isn't answered is kept: longer than a proxy waits (timer C of RFC 3261 is above 3 minutes).
const UNANSWERED: Duration = Duration::from_secs(10 * 60);
/// How long an answered call is kept without a word: its BYE was missed.
const ANSWERED: Duration = Duration::from_secs(12 * 3600);

/// Between which machines a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hop {
    pub source: IpAddr,
    pub destination: IpAddr,
}

impl Hop {
    fn ends(self) -> (IpAddr, IpAddr) {
        (self.source.min(self.destination), self.source.max(self.destination))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct DialogKey {
    call_id: String,
    ends: (IpAddr, IpAddr),
}

/// The calls that are followed.
#[derive(Debug, Default)]
pub(super) struct Dialogs {
    dialogs: HashMap<DialogKey, Dialog>,
    endpoints: Endpoints,
}

impl Dialogs {
    /// Takes up a message.
    pub(super) fn handle_message(&mut self, message: &Message<'_>, hop: Hop, now: Instant, media: &mut Publisher) {
        if self.endpoints.learn(message, hop) {
            self.publish_again(hop.source, media);
        }
        let call_id = message.call_id();
        if !concerns_media(message.cseq().method) || call_id.len() > LONGEST_CALL_ID {
            return;
        }
        let key = DialogKey {
            call_id: call_id.to_owned(),
            ends: hop.ends(),
        };
        if !self.dialogs.contains_key(&key) {
            if !dialog::begins(message) {
                return;
            }
            self.make_room(media);
        }
        let dialog = self.dialogs.entry(key.clone()).or_insert_with(|| Dialog::new(now));
        let fate = dialog.handle_message(message, hop, now);
        match fate {
            Fate::Unchanged => {}
            Fate::Changed => dialog.publish(call_id, &self.endpoints, media),
            Fate::Ended => {
                dialog.unpublish(media);
                self.dialogs.remove(&key);
            }
        }
    }

    /// Forgets calls that were silent too long.
    pub(super) fn handle_timeout(&mut self, now: Instant, media: &mut Publisher) {
        let expired = |dialog: &Dialog| {
            let patience = if dialog.is_answered() { ANSWERED } else { UNANSWERED };
            now - dialog.last() > patience
        };
        let mut silent: Vec<_> = self
            .dialogs
            .iter()
            .filter(|(_, dialog)| expired(dialog))
            .map(|(key, _)| key.clone())
            .collect();
        silent.sort();
        for key in silent {
            self.forget(&key, media);
        }
    }

    /// Weighs anew what a machine said in its calls. Each machine turns out to be a server once at most.
    fn publish_again(&mut self, machine: IpAddr, media: &mut Publisher) {
        let concerned = |key: &&DialogKey| key.ends.0 == machine || key.ends.1 == machine;
        let mut keys: Vec<_> = self.dialogs.keys().filter(concerned).cloned().collect();
        keys.sort();
        for key in keys {
            if let Some(dialog) = self.dialogs.get_mut(&key) {
                dialog.publish(&key.call_id, &self.endpoints, media);
            }
        }
    }

    fn make_room(&mut self, media: &mut Publisher) {
        if self.dialogs.len() < MOST_DIALOGS {
            return;
        }
        let oldest = self.dialogs.iter().min_by_key(|(_, dialog)| dialog.last());
        if let Some(key) = oldest.map(|(key, _)| key.clone()) {
            self.forget(&key, media);
        }
    }

    fn forget(&mut self, key: &DialogKey, media: &mut Publisher) {
        if let Some(mut dialog) = self.dialogs.remove(key) {
            dialog.unpublish(media);
        }
    }
}

fn concerns_media(method: &str) -> bool {
    matches!(method, "INVITE" | "ACK" | "PRACK" | "UPDATE" | "BYE" | "CANCEL")
}
