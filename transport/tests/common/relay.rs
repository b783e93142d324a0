//! A path in user space between a client and a server: delay, random loss, a bottleneck; notes the ToS of each packet.

use std::collections::VecDeque;
use std::io;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, MaybeUninitSlice, MsgHdrMut, SockAddr, Socket, Type};

/// How the path treats what the server sends; the other direction has the same delay and loss.
#[derive(Debug, Clone, Copy)]
pub struct PathModel {
    /// Delay of each direction.
    pub delay: Duration,
    /// Share of packets lost, 0 to 1.
    pub loss: f64,
    /// Which packets are lost.
    pub pattern: Pattern,
    /// Bits per second from the server to the client, and how long a packet may wait for them.
    pub bottleneck: Option<(u64, Duration)>,
}

/// Which packets are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// Any, by chance.
    Random,
    /// One in so many, so that a loss and its repair are never lost in a row.
    Regular,
}

/// What a relay saw of one direction.
#[derive(Debug, Default)]
pub struct Seen {
    pub packets: AtomicU64,
    pub dropped: AtomicU64,
    /// ToS bytes, each once, in order of appearance.
    pub tos: Mutex<Vec<u8>>,
}

/// Runs until dropped.
pub struct Relay {
    pub address: SocketAddr,
    pub to_client: Arc<Seen>,
    pub to_server: Arc<Seen>,
    /// While set, nothing passes.
    pub cut: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
}

impl Relay {
    pub fn start(server: SocketAddr, model: PathModel) -> Self {
        let (front, back) = (open(), open());
        let address = front.local_addr().expect("bound").as_socket().expect("an address");
        let client = Arc::new(Mutex::new(None));
        let stop = Arc::<AtomicBool>::default();
        let cut = Arc::<AtomicBool>::default();
        let (to_client, to_server) = (Arc::<Seen>::default(), Arc::<Seen>::default());
        let unlimited = PathModel {
            bottleneck: None,
            ..model
        };
        let (front, back) = (Arc::new(front), Arc::new(back));
        let directions = [
            (
                Arc::clone(&front),
                Arc::clone(&back),
                unlimited,
                &to_server,
                Peer::Fixed(server, Arc::clone(&client)),
            ),
            (back, front, model, &to_client, Peer::Learnt(client)),
        ];
        for (seed, (from, to, model, seen, peer)) in directions.into_iter().enumerate() {
            let direction = Direction {
                from,
                to,
                model,
                seen: Arc::clone(seen),
                peer,
                stop: Arc::clone(&stop),
                cut: Arc::clone(&cut),
                random: 0x9e37_79b9_7f4a_7c15 ^ (seed as u64 + 1),
                due_losses: 0.0,
                waiting: VecDeque::new(),
                line_free: Instant::now(),
            };
            thread::spawn(move || direction.run());
        }
        Self {
            address,
            to_client,
            to_server,
            cut,
            stop,
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn open() -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).expect("a socket");
    socket.set_recv_buffer_size(8 << 20).expect("a buffer");
    socket.set_recv_tos_v4(true).expect("ToS");
    socket
        .set_read_timeout(Some(Duration::from_millis(1)))
        .expect("a time-out");
    socket
        .bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())
        .expect("a port");
    socket
}

enum Peer {
    Fixed(SocketAddr, Arc<Mutex<Option<SocketAddr>>>),
    Learnt(Arc<Mutex<Option<SocketAddr>>>),
}

struct Direction {
    from: Arc<Socket>,
    to: Arc<Socket>,
    model: PathModel,
    seen: Arc<Seen>,
    peer: Peer,
    stop: Arc<AtomicBool>,
    cut: Arc<AtomicBool>,
    random: u64,
    due_losses: f64,
    waiting: VecDeque<(Instant, Vec<u8>)>,
    line_free: Instant,
}

impl Direction {
    fn run(mut self) {
        while !self.stop.load(Ordering::Relaxed) {
            if let Ok((packet, source, tos)) = receive(&self.from) {
                self.take(packet, source, tos);
            }
            self.forward();
        }
    }

    fn take(&mut self, packet: Vec<u8>, source: SocketAddr, tos: u8) {
        if let Peer::Fixed(_, client) = &self.peer {
            *client.lock().expect("whole") = Some(source);
        }
        self.seen.packets.fetch_add(1, Ordering::Relaxed);
        let mut seen = self.seen.tos.lock().expect("whole");
        if !seen.contains(&tos) {
            seen.push(tos);
        }
        drop(seen);
        let lost = self.is_next_lost() || self.cut.load(Ordering::Relaxed);
        match self.due(packet.len()).filter(|_| !lost) {
            Some(due) => self.waiting.push_back((due, packet)),
            None => {
                self.seen.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// When a packet arrives at the other end; `None` where the bottleneck's queue is full.
    fn due(&mut self, length: usize) -> Option<Instant> {
        let now = Instant::now();
        let Some((rate, patience)) = self.model.bottleneck else {
            return Some(now + self.model.delay);
        };
        let begin = self.line_free.max(now);
        if begin - now > patience {
            return None;
        }
        self.line_free = begin + Duration::from_secs_f64((length + 28) as f64 * 8.0 / rate as f64);
        Some(self.line_free + self.model.delay)
    }

    fn forward(&mut self) {
        let receiver = match &self.peer {
            Peer::Fixed(server, _) => Some(*server),
            Peer::Learnt(client) => *client.lock().expect("whole"),
        };
        while self.waiting.front().is_some_and(|(due, _)| *due <= Instant::now()) {
            let (Some((_, packet)), Some(receiver)) = (self.waiting.pop_front(), receiver) else {
                continue;
            };
            let _ = self.to.send_to(&packet, &receiver.into());
        }
    }

    fn is_next_lost(&mut self) -> bool {
        match self.model.pattern {
            Pattern::Random => self.next_random() < self.model.loss,
            Pattern::Regular => {
                self.due_losses += self.model.loss;
                let lost = self.due_losses >= 1.0;
                self.due_losses -= f64::from(u8::from(lost));
                lost
            }
        }
    }

    /// 0 to 1 (xorshift64*).
    fn next_random(&mut self) -> f64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

pub fn receive(socket: &Socket) -> io::Result<(Vec<u8>, SocketAddr, u8)> {
    let mut bytes = vec![MaybeUninit::<u8>::zeroed(); 2048];
    let mut control = [MaybeUninit::<u8>::zeroed(); 64];
    let mut source = SockAddr::from(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
    let mut buffers = [MaybeUninitSlice::new(&mut bytes)];
    let mut message = MsgHdrMut::new()
        .with_addr(&mut source)
        .with_buffers(&mut buffers)
        .with_control(&mut control);
    let length = socket.recvmsg(&mut message, 0)?;
    let packet = bytes.into_iter().take(length).map(initialised).collect();
    // One control message, IP_TOS: a header of 16 bytes on 64-bit machines, then the byte.
    let tos = control.get(16).copied().map_or(0, initialised);
    Ok((packet, source.as_socket().expect("an address"), tos))
}

/// The buffers were zeroed, so every byte of them is a value.
fn initialised(byte: MaybeUninit<u8>) -> u8 {
    #[allow(unsafe_code)]
    // SAFETY: `receive` zeroes each buffer before the kernel writes into it.
    unsafe {
        byte.assume_init()
    }
}
