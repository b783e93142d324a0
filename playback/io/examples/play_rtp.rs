//! Plays RTP that comes to a UDP port, as one leg of a call, on a sound card: the player as a whole, for listening and
//! for `scripts/bench-sound`.
//!
//! `cargo run --release -p silentmon-playback-io --example play_rtp PORT PRESET [OUTPUT]`: PRESET is `low`, `balanced` or
//! `smooth`, OUTPUT as the command line of `silentmon` takes it. An interrupt ends it, and it says what became of the
//! packets.

#![allow(clippy::print_stdout, reason = "an example says what it found")]

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::Context;
use silentmon_playback_core::player::{Player, PlayoutSettings, Preset};
use silentmon_playback_io::clock;
use silentmon_playback_io::sink::{Output, SharedPlayer, Sink};
use silentmon_proto::codec::Codec;
use silentmon_proto::ids::Leg;
use silentmon_proto::relay::{AudioHeader, AudioKind};

/// Longest datagram that is read.
const LONGEST: usize = 2048;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "play_rtp PORT PRESET [OUTPUT]";
    let port: u16 = arguments.next().context(usage)?.parse()?;
    let preset = arguments.next().context(usage)?;
    let output: Output = arguments.next().as_deref().unwrap_or("default").parse()?;

    let settings = PlayoutSettings {
        preset: Preset::from_name(&preset).context("PRESET is low, balanced or smooth")?,
        ..PlayoutSettings::default()
    };
    let player = Arc::new(Mutex::new(Player::new(settings)));
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port))?;
    let sink = Sink::open(&output, player.clone())?;
    let receiving = player.clone();
    thread::spawn(move || receive(&socket, &receiving));

    tokio::signal::ctrl_c().await?;
    println!("{:?}", sink.close());
    let player = player.lock().unwrap_or_else(PoisonError::into_inner);
    println!("{:?}", player.report(Leg::Agent));
    Ok(())
}

/// Hands over what comes, with the time it came.
fn receive(socket: &UdpSocket, player: &SharedPlayer) {
    let mut datagram = [0; LONGEST];
    let mut relay_sequence = 0;
    while let Ok(length) = socket.recv(&mut datagram) {
        let bytes = datagram.get(..length).unwrap_or_default();
        let now = clock::now();
        let header = AudioHeader {
            kind: AudioKind::Rtp,
            leg: Leg::Agent,
            again: false,
            codec: codec(bytes),
            channel: 1,
            relay_sequence,
            captured: now,
        };
        player
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .handle_packet(now, &header, bytes);
        relay_sequence = relay_sequence.wrapping_add(1);
    }
}

/// By the static payload types of RFC 3551.
fn codec(rtp: &[u8]) -> Codec {
    rtp.get(1)
        .map_or(Codec::Unknown, |second| Codec::from_number(second & 0x7f))
}
