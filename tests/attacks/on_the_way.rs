//! Somebody on the way between server and supervisor who keeps packets, plays them again and makes others of them.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::Target;
use crate::common::punctual::{BEARABLE, on_a_machine_that_keeps_time};
use crate::common::{common_run, exact, said, wav_channels};

const RATE: usize = 8000;
/// Packets that are kept to be played again later.
const KEPT: usize = 100;

/// Passes everything on at once; then once more, then with a bit changed, then what was kept a while ago.
struct Replayer {
    address: SocketAddr,
    forged: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Replayer {
    fn start(server: SocketAddr) -> Self {
        let front = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let address = front.local_addr().expect("its address");
        let (stop, forged) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let back = UdpSocket::bind("127.0.0.1:0").expect("a port");
        back.connect(server).expect("an address");
        let replayer = Self {
            address,
            forged: Arc::clone(&forged),
            stop: Arc::clone(&stop),
        };
        std::thread::spawn(move || {
            // The first packet tells where the supervisor's program is.
            let mut buffer = [0; 2048];
            let Ok((length, client)) = front.recv_from(&mut buffer) else {
                return;
            };
            let _ = back.send(&buffer[..length]);
            front.connect(client).expect("an address");
            let towards_client = (
                back.try_clone().expect("a socket"),
                front.try_clone().expect("a socket"),
            );
            let (other_stop, other_forged) = (Arc::clone(&stop), Arc::clone(&forged));
            std::thread::spawn(move || pass(&towards_client.0, &towards_client.1, &other_stop, &other_forged));
            pass(&front, &back, &stop, &forged);
        });
        replayer
    }
}

fn pass(from: &UdpSocket, to: &UdpSocket, stop: &AtomicBool, forged: &AtomicU64) {
    from.set_read_timeout(Some(Duration::from_millis(100)))
        .expect("a time-out");
    let (mut buffer, mut kept) = ([0; 2048], std::collections::VecDeque::new());
    while !stop.load(Ordering::Relaxed) {
        let Ok(length) = from.recv(&mut buffer) else { continue };
        let packet = buffer[..length].to_vec();
        let mut changed = packet.clone();
        changed[length / 2] ^= 0x10;
        let old: Option<Vec<u8>> = (kept.len() == KEPT).then(|| kept.pop_front()).flatten();
        let _ = to.send(&packet);
        for forgery in [Some(packet.clone()), Some(changed), old].into_iter().flatten() {
            forged.fetch_add(1, Ordering::Relaxed);
            let _ = to.send(&forgery);
        }
        kept.push_back(packet);
    }
}

impl Drop for Replayer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

#[test]
fn packets_played_again_or_changed_on_the_way_are_not_heard() {
    on_a_machine_that_keeps_time(BEARABLE, hears_each_packet_once);
}

fn hears_each_packet_once() {
    let target = Target::build();
    let replayer = Replayer::start(target.server);
    let wav = target.house.text("heard.wav");
    let more = ["--output", &format!("wav:{wav}"), "--for", "6"];
    let output = target
        .house
        .listen("anna", "4711", replayer.address, &more)
        .output()
        .expect("runs");
    assert!(output.status.success(), "{}", said(&output));
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a JSON summary");
    for (leg, heard) in ["agent", "customer"].iter().zip(wav_channels(wav.as_ref())) {
        let (_, length) = common_run(&heard, &exact(&target.house, leg));
        assert!(length > 3 * RATE, "{leg}: {length} samples identical; {summary}");
        assert_eq!(summary["legs"][leg]["lost_on_relay"], 0, "{summary}");
    }
    assert!(replayer.forged.load(Ordering::Relaxed) > 500);
    assert_eq!(target.service.terminate().0, Some(0));
}
