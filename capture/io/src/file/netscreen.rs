//! NetScreen snoop traces: what a Juniper firewall prints on its console, as text.
//!
//! A packet is a header line `<seconds>.<tenths>: <interface>(<i|o>) len=<bytes>:<source>-><destination>/<type>`, where
//! the time counts from the start of the firewall, then indented lines that explain it, then its bytes in hexadecimal,
//! sixteen a line with their characters after them, then an empty line.

use silentmon_proto::frame::LinkType;
use silentmon_proto::time::Instant;

use super::input::Input;
use super::{MAX_RECORD, Place, Problem, Record};

/// A trace is recognised by a packet's header line within so many bytes: it may begin with console output.
pub(super) const DETECTED_WITHIN: usize = 4096;

/// Longest line looked at; the rest of a longer one is dropped.
const LINE: usize = 512;
/// Bytes of a line of a dump.
const DUMP_WIDTH: usize = 16;
/// Bytes that the first line of a dump has at least, which tells it from an explanation that looks hexadecimal.
const SHORTEST_START: usize = 6;
/// A firewall with an ADSL interface bridges it with or without PPP.
const MAC_LENGTH: usize = 6;

/// Reads the packets.
#[derive(Default)]
pub(super) struct NetScreen {
    bytes: Vec<u8>,
}

/// A packet's header line.
#[derive(Debug, PartialEq, Eq)]
struct Header<'a> {
    captured: Instant,
    interface: &'a str,
    wire_length: u32,
    /// Destination MAC address in hexadecimal; empty where there is none.
    destination: &'a str,
}

impl NetScreen {
    pub(super) fn recognises(start: &[u8]) -> bool {
        start.split(|&byte| byte == b'\n').any(begins_packet)
    }

    /// The bytes of the packet read last.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn next(&mut self, input: &mut Input, place: &mut Place) -> Result<Option<Record>, Problem> {
        while !begins_packet(line(input)) {
            if input.at_end()? {
                return Ok(None);
            }
            pass_line(input)?;
        }
        place.begin(input.offset());
        let line = line(input);
        let Some(header) = Header::parse(line) else {
            return Err(unexpected("a packet's header line", line));
        };
        if header.wire_length as usize > MAX_RECORD {
            return Err(Problem::Field {
                what: "a packet length",
                expected: format!("of at most {MAX_RECORD} bytes"),
                found: header.wire_length.into(),
            });
        }
        let (captured, wire_length) = (header.captured, header.wire_length);
        let framing = Framing::of(&header);
        pass_line(input)?;
        self.read_dump(input, wire_length as usize)?;
        Ok(Some(Record {
            link_type: framing.link_type(&self.bytes),
            captured,
            wire_length,
            back: 0,
            length: self.bytes.len(),
        }))
    }

    fn read_dump(&mut self, input: &mut Input, length: usize) -> Result<(), Problem> {
        self.bytes.clear();
        while !input.at_end()? {
            let line = line(input);
            if line.trim_ascii().is_empty() || begins_packet(line) {
                return Ok(());
            }
            let mut dump = [0; DUMP_WIDTH];
            let count = parse_dump_line(line.trim_ascii(), &mut dump);
            let explains = self.bytes.is_empty() && count.is_none_or(|count| count < SHORTEST_START.min(length));
            if explains && line.starts_with(b" ") {
                pass_line(input)?;
                continue;
            }
            let bytes = count.and_then(|count| dump.get(..count));
            let Some(bytes) = bytes.filter(|bytes| self.bytes.len() + bytes.len() <= length) else {
                return Err(unexpected(
                    "a line of the packet's bytes, no more than its length",
                    line,
                ));
            };
            self.bytes.extend_from_slice(bytes);
            pass_line(input)?;
        }
        Ok(())
    }
}

impl<'a> Header<'a> {
    fn parse(line: &'a [u8]) -> Option<Self> {
        let line = str::from_utf8(line).ok()?.trim();
        let (time, rest) = line.split_once(": ")?;
        let (interface, rest) = rest.split_once("(i) len=").or_else(|| rest.split_once("(o) len="))?;
        let (length, addresses) = rest.split_once(':').unwrap_or((rest, ""));
        let destination = addresses.split_once("->").map_or("", |(_, destination)| destination);
        Some(Self {
            captured: parse_time(time)?,
            interface: interface.trim(),
            wire_length: length.parse().ok()?,
            destination: destination.get(..2 * MAC_LENGTH).unwrap_or(""),
        })
    }
}

/// How the bytes of an interface's packets begin.
enum Framing {
    Ethernet,
    Ppp,
    /// Ethernet where the packet begins with this address, PPP otherwise.
    EthernetTo(Option<[u8; MAC_LENGTH]>),
}

impl Framing {
    fn of(header: &Header<'_>) -> Self {
        if header.interface.starts_with("seri") {
            return Self::Ppp;
        }
        if !header.interface.starts_with("adsl") {
            return Self::Ethernet;
        }
        Self::EthernetTo(parse_mac(header.destination))
    }

    fn link_type(&self, bytes: &[u8]) -> LinkType {
        match self {
            Self::Ethernet => LinkType::Ethernet,
            Self::EthernetTo(Some(mac)) if bytes.starts_with(mac) => LinkType::Ethernet,
            Self::EthernetTo(_) | Self::Ppp => LinkType::Ppp,
        }
    }
}

/// The line that begins here, without its end and cut to [`LINE`].
fn line(input: &mut Input) -> &[u8] {
    let ahead = input.peek_up_to(LINE);
    let end = ahead.iter().position(|&byte| byte == b'\n').unwrap_or(ahead.len());
    ahead.get(..end).unwrap_or(&[])
}

/// Consumes the line that begins here, however long it is.
fn pass_line(input: &mut Input) -> Result<(), Problem> {
    while !input.at_end()? {
        let ahead = input.peek_up_to(LINE);
        let (count, found) = match ahead.iter().position(|&byte| byte == b'\n') {
            Some(position) => (position + 1, true),
            None => (ahead.len(), false),
        };
        input.consume(count);
        if found {
            break;
        }
    }
    Ok(())
}

fn begins_packet(line: &[u8]) -> bool {
    const MARK: usize = "(i) len=".len();
    line.windows(MARK)
        .any(|part| part == b"(i) len=" || part == b"(o) len=")
}

/// `6843828.0`: seconds and a fraction, of which the firewall prints one digit.
fn parse_time(text: &str) -> Option<Instant> {
    let (seconds, fraction) = text.trim().split_once('.').unwrap_or((text, "0"));
    let digits = u32::try_from(fraction.len()).ok().filter(|digits| *digits <= 9)?;
    let nanoseconds = fraction.parse::<u32>().ok()? * 10_u32.pow(9 - digits);
    Some(Instant::from_parts(seconds.trim().parse().ok()?, nanoseconds))
}

fn parse_mac(text: &str) -> Option<[u8; MAC_LENGTH]> {
    let value = u64::from_str_radix(text, 16)
        .ok()
        .filter(|_| text.len() == 2 * MAC_LENGTH)?;
    value.to_be_bytes().last_chunk().copied()
}

/// Reads pairs of digits parted by single spaces up to two spaces, the end or sixteen bytes; `None` where it isn't that.
fn parse_dump_line(line: &[u8], dump: &mut [u8; DUMP_WIDTH]) -> Option<usize> {
    let mut rest = line;
    let mut count = 0;
    for slot in dump {
        let [high, low, tail @ ..] = rest else { break };
        if *high == b' ' {
            break;
        }
        *slot = digit(*high)? << 4 | digit(*low)?;
        count += 1;
        rest = match tail {
            [] => tail,
            [b' ' | b'\r', tail @ ..] => tail,
            _ => return None,
        };
    }
    (count > 0).then_some(count)
}

fn digit(character: u8) -> Option<u8> {
    char::from(character)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

fn unexpected(expected: &'static str, line: &[u8]) -> Problem {
    const SHOWN: usize = 60;
    let text = String::from_utf8_lossy(line.get(..SHOWN).unwrap_or(line));
    Problem::Line {
        expected,
        found: text.trim().escape_debug().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_header_line() {
        let header = Header::parse(b"6843828.5: trust(o) len=98:00121ebbd132->00600868d659/0800\r");
        let expected = Header {
            captured: Instant::from_parts(6_843_828, 500_000_000),
            interface: "trust",
            wire_length: 98,
            destination: "00600868d659",
        };
        assert_eq!(header, Some(expected));
        assert_eq!(Header::parse(b"x: trust(o) len=98"), None);
        assert_eq!(Header::parse(b"1.0: trust(o) len=many"), None);
    }

    #[test]
    fn tells_bytes_from_explanations() {
        let mut dump = [0; DUMP_WIDTH];
        let line = b"00 60 08 68 d6 59 00 12 1e bb d1 32 08 00 45 00     .`.h.Y.....2..E.";
        assert_eq!(parse_dump_line(line, &mut dump), Some(16));
        assert_eq!(dump[..6], [0x00, 0x60, 0x08, 0x68, 0xd6, 0x59]);
        assert_eq!(parse_dump_line(b"1d 0b     ..", &mut dump), Some(2));
        assert_eq!(parse_dump_line(b"192.168.1.1 -> 192.168.1.10/6", &mut dump), None);
        assert_eq!(parse_dump_line(b"vhl=45, tos=00", &mut dump), None);
        assert_eq!(parse_dump_line(b"", &mut dump), None);
    }

    #[test]
    fn takes_the_link_type_from_the_interface() {
        let of = |line: &str, bytes: &[u8]| Framing::of(&Header::parse(line.as_bytes()).unwrap()).link_type(bytes);
        let mac = [0, 0x60, 8, 0x68, 0xd6, 0x59, 1];
        assert_eq!(of("1.0: ethernet1(i) len=9:a->b/0800", &mac), LinkType::Ethernet);
        assert_eq!(of("1.0: serial1/0(i) len=9", &mac), LinkType::Ppp);
        assert_eq!(
            of("1.0: adsl1/0(i) len=9:00121ebbd132->00600868d659/0800", &mac),
            LinkType::Ethernet
        );
        assert_eq!(
            of("1.0: adsl1/0(i) len=9:00121ebbd132->00600868d659/0800", &[0xff]),
            LinkType::Ppp
        );
        assert_eq!(of("1.0: adsl1/0(i) len=9", &mac), LinkType::Ppp);
    }
}
