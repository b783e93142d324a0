//! One attempt to reach a member: to be connected with it, or for somebody who asks whether it can be reached.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use silentmon_capture_core::cluster::PeerLink;
use silentmon_certs::ClientTls;
use silentmon_proto::ids::ServerName;
use silentmon_proto::reason::{Code, Reason};
use silentmon_transport::{Channel, CloseCode, ServerAddress, Settings, connect};
use tokio::sync::mpsc;

use super::PeerInput;

/// See [`super::Peers::probe`].
#[derive(Clone)]
pub(super) struct Prober {
    pub addresses: HashMap<ServerName, ServerAddress>,
    pub dialling: Arc<ArcSwap<ClientTls>>,
    pub inputs: mpsc::WeakSender<PeerInput>,
}

impl Prober {
    pub(super) async fn probe(self, link: PeerLink, peer: ServerName, address: Option<String>) {
        let told = address.and_then(|address| address.parse().ok());
        let unreached = match self.addresses.get(&peer).or(told.as_ref()) {
            None => Some(Reason::new(
                Code::ForeignMember,
                format!("{peer} is not among the peers."),
            )),
            Some(address) => {
                let tls = self.dialling.load_full();
                dial(&peer, address, &tls).await.map(|channel| hang_up(&channel)).err()
            }
        };
        // The event loop is gone only when the service stops.
        if let Some(inputs) = self.inputs.upgrade() {
            let _ = inputs.send(PeerInput::Probed { link, unreached }).await;
        }
    }
}

fn hang_up(channel: &Channel) {
    channel
        .connection
        .close(CloseCode::Done, "only asked whether you are reached");
}

/// Dials a member, and looks whether it is the one.
pub(super) async fn dial(peer: &ServerName, address: &ServerAddress, tls: &ClientTls) -> Result<Channel, Reason> {
    match connect(address, tls, &Settings::server()).await {
        Ok(channel) if channel.connection.peer().name.as_str() == peer.as_str() => Ok(channel),
        Ok(channel) => {
            let name = &channel.connection.peer().name;
            let text = format!("{peer} was dialled at {address}, where {name} answers.");
            channel
                .connection
                .close(CloseCode::Denied, "another member was dialled");
            Err(Reason::new(Code::CertificateRefused, text))
        }
        Err(error) => {
            let Reason { code, text, .. } = error.reason();
            Err(Reason::new(code, format!("{peer}: {text}.")))
        }
    }
}
