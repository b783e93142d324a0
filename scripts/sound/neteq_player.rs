//! neteq_player PORT OUT.s16 META.json [MIN_DELAY_MS]: the crate neteq, pulled every 10 ms of CLOCK_MONOTONIC.
use std::io::Write;
use std::net::UdpSocket;
use std::sync::{Arc, Mutex, atomic::{AtomicBool, Ordering}};
use neteq::{AudioPacket, NetEq, NetEqConfig, RtpHeader};
use neteq::codec::AudioDecoder;
static STOP: AtomicBool = AtomicBool::new(false);
extern "C" fn on(_: libc::c_int) { STOP.store(true, Ordering::Relaxed); }
struct G711(bool);
fn ul(u: u8) -> i32 { let u = !u as i32; let mut t = ((u & 15) << 3) + 0x84; t <<= (u & 0x70) >> 4; if u & 0x80 != 0 { 0x84 - t } else { t - 0x84 } }
fn al(a: u8) -> i32 { let a = (a ^ 0x55) as i32; let e = (a >> 4) & 7; let m = a & 15; let t = if e > 0 { ((m << 4) + 0x108) << (e - 1) } else { (m << 4) + 8 }; if a & 0x80 != 0 { t } else { -t } }
impl AudioDecoder for G711 {
    fn sample_rate(&self) -> u32 { 8000 }
    fn channels(&self) -> u8 { 1 }
    fn decode(&mut self, encoded: &[u8]) -> neteq::Result<Vec<f32>> {
        Ok(encoded.iter().map(|&b| (if self.0 { al(b) } else { ul(b) }) as f32 / 32768.0).collect())
    }
}
fn now() -> i64 { let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 }; unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut t) }; t.tv_sec * 1_000_000_000 + t.tv_nsec }
fn main() {
    let a: Vec<String> = std::env::args().collect();
    unsafe { libc::signal(libc::SIGINT, on as extern "C" fn(libc::c_int) as usize); libc::signal(libc::SIGTERM, on as extern "C" fn(libc::c_int) as usize); }
    let mut c = NetEqConfig { sample_rate: 8000, channels: 1, ..Default::default() };
    if let Some(ms) = a.get(4) { c.min_delay_ms = ms.parse().unwrap(); }
    let mut n = NetEq::new(c).unwrap();
    n.register_decoder(0, Box::new(G711(false))); n.register_decoder(8, Box::new(G711(true)));
    let n = Arc::new(Mutex::new(n)); let m = n.clone();
    let s = UdpSocket::bind(("127.0.0.1", a[1].parse::<u16>().unwrap())).unwrap();
    std::thread::spawn(move || { let mut b = [0u8; 2048]; while let Ok(k) = s.recv(&mut b) { if k <= 12 { continue; }
        let h = RtpHeader::new(u16::from_be_bytes([b[2], b[3]]), u32::from_be_bytes([b[4], b[5], b[6], b[7]]), u32::from_be_bytes([b[8], b[9], b[10], b[11]]), b[1] & 127, b[1] & 128 != 0);
        let _ = m.lock().unwrap().insert_packet(AudioPacket::new(h, b[12..k].to_vec(), 8000, 1, ((k - 12) / 8) as u32)); } });
    let t0 = now() + 10_000_000;
    std::fs::write(&a[3], format!("{{\"t0\":{:.9},\"rate\":8000,\"channels\":1}}\n", t0 as f64 / 1e9)).unwrap();
    let mut f = std::io::BufWriter::new(std::fs::File::create(&a[2]).unwrap());
    let mut k = 0i64;
    while !STOP.load(Ordering::Relaxed) {
        let t = t0 + k * 10_000_000;
        let ts = libc::timespec { tv_sec: t / 1_000_000_000, tv_nsec: t % 1_000_000_000 };
        unsafe { libc::clock_nanosleep(libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME, &ts, std::ptr::null_mut()); }
        let x = n.lock().unwrap().get_audio().map(|f| f.samples).unwrap_or_default();
        for i in 0..80 { let v = (x.get(i).copied().unwrap_or(0.0) * 32768.0).round().clamp(-32768.0, 32767.0) as i16; f.write_all(&v.to_le_bytes()).unwrap(); }
        k += 1;
    }
    f.flush().unwrap();
}
