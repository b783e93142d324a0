//! Noticing at once that a program at the other end has died, where it is the one that dialled: its own connection can't
//! tell, since ours to it goes to a socket that is gone without a word.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;

use crate::address::ServerAddress;

/// How often it is looked.
const INTERVAL: Duration = Duration::from_millis(100);
/// So often in a row must nothing be refused before a refusal says anything: a firewall may refuse whatever comes.
const HEALTHY: u32 = 2;
/// So often in a row must it be refused: one ICMP message alone proves nothing, anybody can forge it.
const REFUSED: u32 = 2;
/// Not the beginning of any QUIC packet, so nobody answers it (RFC 9000 section 17: the fixed bit isn't set).
const KNOCK: [u8; 1] = [0];

/// Waits until nothing listens any longer at an address at which something did. For ever, where that can't be told.
pub async fn nothing_listens_any_longer(server: &ServerAddress) {
    let Some(socket) = connected(server).await else {
        return std::future::pending().await;
    };
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut healthy, mut refused) = (0, 0);
    loop {
        interval.tick().await;
        // An ICMP error of the last knock is reported by the next call (udp(7)).
        let knocked = socket.send(&KNOCK).await;
        if knocked.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused) {
            refused = if healthy >= HEALTHY { refused + 1 } else { 0 };
            // The error came in place of the knock.
            let _ = socket.send(&KNOCK).await;
        } else {
            healthy += 1;
            refused = 0;
        }
        if refused >= REFUSED {
            return;
        }
    }
}

async fn connected(server: &ServerAddress) -> Option<UdpSocket> {
    for address in tokio::net::lookup_host((server.host(), server.port())).await.ok()? {
        let local: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let Ok(socket) = UdpSocket::bind(local).await else {
            continue;
        };
        if socket.connect(address).await.is_ok() {
            return Some(socket);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_that_closes_is_noticed_at_once() {
        let other = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let address = ServerAddress::from(other.local_addr().expect("bound"));
        let sentinel = tokio::spawn(async move { nothing_listens_any_longer(&address).await });
        let alive = tokio::time::timeout(Duration::from_secs(2), other.readable()).await;
        assert!(alive.is_ok(), "nobody knocked");
        tokio::time::sleep(INTERVAL * (HEALTHY + 2)).await;
        assert!(!sentinel.is_finished(), "something listens");
        drop(other);
        let noticed = tokio::time::timeout(Duration::from_secs(5), sentinel).await;
        assert!(noticed.is_ok(), "it wasn't noticed");
    }

    #[tokio::test]
    async fn where_everything_is_refused_nothing_can_be_told() {
        let gone = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let address = ServerAddress::from(gone.local_addr().expect("bound"));
        drop(gone);
        let silent = tokio::time::timeout(INTERVAL * 12, nothing_listens_any_longer(&address)).await;
        assert!(silent.is_err(), "a firewall that refuses is no death");
    }
}
