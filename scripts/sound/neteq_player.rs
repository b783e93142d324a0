//! `neteq_player PORT OUT.s16 META.json`: the crate `neteq` with its defaults, pulled every 10 ms. Built by
//! scripts/bench-sound outside the workspace, to be measured beside our engine.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::mem::MaybeUninit;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use neteq::codec::AudioDecoder;
use neteq::{AudioPacket, NetEq, NetEqConfig, RtpHeader};

const RATE: u32 = 8000;
const TICK: i64 = 10_000_000;
const TICK_SAMPLES: usize = 80;
const HEADER: usize = 12;

static STOP: AtomicBool = AtomicBool::new(false);

extern "C" fn stop(_: libc::c_int) {
    STOP.store(true, Ordering::Relaxed);
}

enum G711 {
    Mu,
    A,
}

impl G711 {
    fn sample(&self, byte: u8) -> f32 {
        let value = match self {
            Self::Mu => {
                let bits = i32::from(!byte);
                let size = (((bits & 15) << 3) + 0x84) << ((bits & 0x70) >> 4);
                if bits & 0x80 != 0 { 0x84 - size } else { size - 0x84 }
            }
            Self::A => {
                let bits = i32::from(byte ^ 0x55);
                let (segment, step) = ((bits >> 4) & 7, (bits & 15) << 4);
                let size = if segment > 0 {
                    (step + 0x108) << (segment - 1)
                } else {
                    step + 8
                };
                if bits & 0x80 != 0 { size } else { -size }
            }
        };
        value as f32 / 32768.0
    }
}

impl AudioDecoder for G711 {
    fn sample_rate(&self) -> u32 {
        RATE
    }

    fn channels(&self) -> u8 {
        1
    }

    fn decode(&mut self, encoded: &[u8]) -> neteq::Result<Vec<f32>> {
        Ok(encoded.iter().map(|&byte| self.sample(byte)).collect())
    }
}

/// CLOCK_MONOTONIC in nanoseconds.
fn now() -> i64 {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the call fills the structure it is given.
    let time = unsafe {
        libc::clock_gettime(libc::CLOCK_MONOTONIC, time.as_mut_ptr());
        time.assume_init()
    };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

fn sleep_until(at: i64) {
    let time = libc::timespec {
        tv_sec: at / 1_000_000_000,
        tv_nsec: at % 1_000_000_000,
    };
    // SAFETY: the structure lives as long as the call.
    unsafe { libc::clock_nanosleep(libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME, &time, std::ptr::null_mut()) };
}

fn receive(socket: &UdpSocket, player: &Mutex<NetEq>) {
    let mut bytes = [0; 2048];
    while let Ok(length) = socket.recv(&mut bytes) {
        if length <= HEADER {
            continue;
        }
        let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let sequence = u16::from_be_bytes([bytes[2], bytes[3]]);
        let header = RtpHeader::new(sequence, word(4), word(8), bytes[1] & 0x7f, bytes[1] & 0x80 != 0);
        let payload = bytes[HEADER..length].to_vec();
        let milliseconds = payload.len() as u32 / (RATE / 1000);
        let packet = AudioPacket::new(header, payload, RATE, 1, milliseconds);
        let _ = player.lock().expect("no thread died").insert_packet(packet);
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    // SAFETY: the handler does nothing but store a flag.
    unsafe {
        libc::signal(libc::SIGINT, stop as extern "C" fn(libc::c_int) as usize);
        libc::signal(libc::SIGTERM, stop as extern "C" fn(libc::c_int) as usize);
    }
    let settings = NetEqConfig {
        sample_rate: RATE,
        channels: 1,
        ..Default::default()
    };
    let mut player = NetEq::new(settings).expect("a player");
    player.register_decoder(0, Box::new(G711::Mu));
    player.register_decoder(8, Box::new(G711::A));
    let player = Arc::new(Mutex::new(player));
    let receiving = player.clone();
    let port: u16 = arguments[1].parse().expect("a port");
    let socket = UdpSocket::bind(("127.0.0.1", port)).expect("a free port");
    thread::spawn(move || receive(&socket, &receiving));

    let begin = now() + TICK;
    let about = format!("{{\"t0\":{:.9},\"rate\":{RATE},\"channels\":1}}\n", begin as f64 / 1e9);
    std::fs::write(&arguments[3], about).expect("writable");
    let mut out = BufWriter::new(File::create(&arguments[2]).expect("writable"));
    for tick in 0.. {
        if STOP.load(Ordering::Relaxed) {
            break;
        }
        sleep_until(begin + tick * TICK);
        let frame = player.lock().expect("no thread died").get_audio();
        let mut samples = frame.map(|frame| frame.samples).unwrap_or_default();
        samples.resize(TICK_SAMPLES, 0.0);
        for sample in samples {
            out.write_all(&((sample * 32768.0).round() as i16).to_le_bytes())
                .expect("writable");
        }
    }
    out.flush().expect("writable");
}
