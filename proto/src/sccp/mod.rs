//! Skinny Client Control Protocol (Cisco), as a passive listener reads it: which phone, which lines, which media.
//!
//! Protocol sheet 2.4; fields checked against Wireshark's dissector. Messages are little-endian with a header of 12
//! bytes: length of what follows it plus 4, version, message id. Strings that grow with the version stand one after the
//! other, each ended by a zero byte.

mod codec;
mod reader;

use std::net::SocketAddr;

use thiserror::Error;

pub use codec::encoding_name;

use reader::{Reader, set};

/// Bytes before the body: length, version, message id.
const HEADER: usize = 12;
/// The largest length field taken for one. The longest message there is (a softkey template) stays far below.
const LARGEST: u32 = 8192;
/// The highest version known.
const NEWEST: u32 = 22;
/// From this version on an address is told with its type and 16 bytes.
const TYPED_ADDRESSES: u32 = 17;
/// The highest message id known.
const LAST_ID: u32 = 0x1fff;

/// Why bytes are no SCCP message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SccpError {
    /// The header isn't one.
    #[error("expected an SCCP header")]
    Header,
    /// The body is shorter than the message needs.
    #[error("expected more bytes in the SCCP message {0:#x}")]
    Short(u32),
}

/// Identifies a call on a phone or between phone and call manager.
pub type CallReference = u32;

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A phone signs on (0x01).
    Register {
        /// Its name, `SEP001122334455`.
        device: String,
    },
    /// A phone signs off (0x27), or is told to (0x9f).
    Unregister,
    /// The number of one of the phone's lines (0x92, 0x147).
    LineStat {
        /// Which line, from 1.
        line: u32,
        /// Its directory number.
        number: String,
    },
    /// Who talks with whom (0x8f, 0x14a).
    CallInfo(CallInfo),
    /// Where a call stands (0x111).
    CallState {
        /// Where.
        state: CallState,
        /// On which line.
        line: u32,
        /// Which call.
        call: CallReference,
    },
    /// The phone shall receive (0x105).
    OpenReceiveChannel(Channel),
    /// The phone receives here (0x22).
    OpenReceiveChannelAck(ChannelAck),
    /// The phone shall not receive any more (0x106).
    CloseReceiveChannel(ChannelId),
    /// The phone shall send (0x8a).
    StartMediaTransmission {
        /// What.
        channel: Channel,
        /// To where.
        remote: SocketAddr,
    },
    /// The phone sends from here (0x154).
    StartMediaTransmissionAck(ChannelAck),
    /// The phone shall not send any more (0x8b).
    StopMediaTransmission(ChannelId),
    /// Anything else.
    Other(u32),
}

/// Who talks with whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallInfo {
    /// On which line.
    pub line: u32,
    /// Which call.
    pub call: CallReference,
    /// Which way it came.
    pub direction: CallDirection,
    /// The calling number.
    pub calling: String,
    /// The called number.
    pub called: String,
}

impl CallInfo {
    /// The phone's own number.
    pub fn own_number(&self) -> Option<&str> {
        let number = match self.direction {
            CallDirection::Inbound | CallDirection::Forwarded => &self.called,
            CallDirection::Outbound => &self.calling,
            CallDirection::Other => return None,
        };
        (!number.is_empty()).then_some(number)
    }
}

/// Which way a call came, seen from the phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallDirection {
    /// The phone is called.
    Inbound,
    /// The phone calls.
    Outbound,
    /// The phone is called by way of another.
    Forwarded,
    /// A number this program doesn't know.
    Other,
}

/// Where a call stands on a phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallState {
    /// The call is over.
    OnHook,
    /// It is talked on.
    Connected,
    /// It is on hold.
    Hold,
    /// Another state, by its number.
    Other(u32),
}

/// A channel of media.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelId {
    /// The channel's own number.
    pub party: u32,
    /// The call it belongs to, 0 where the message doesn't say.
    pub call: CallReference,
}

/// What a channel carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channel {
    /// Which one.
    pub id: ChannelId,
    /// Media payload type of SCCP: see [`encoding_name`].
    pub payload: u32,
    /// Audio in one packet, milliseconds.
    pub packet_time: u32,
    /// Whether it is encrypted.
    pub encrypted: bool,
}

/// The phone's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelAck {
    /// Which channel.
    pub id: ChannelId,
    /// The phone's own address; `None` where it failed.
    pub address: Option<SocketAddr>,
}

impl Message {
    /// Reads a message, header included, as [`message_length`] cuts it out.
    ///
    /// # Errors
    /// [`SccpError`] where the header isn't one or the body is too short.
    pub fn parse(bytes: &[u8]) -> Result<Self, SccpError> {
        let header = Header::parse(bytes)?;
        let end = header.length();
        let body = bytes.get(HEADER..end).ok_or(SccpError::Short(header.id))?;
        let reader = Reader::new(body, header.version >= TYPED_ADDRESSES);
        read(header.id, reader).ok_or(SccpError::Short(header.id))
    }
}

fn read(id: u32, mut body: Reader<'_>) -> Option<Message> {
    Some(match id {
        0x01 => Message::Register { device: body.text(16)? },
        0x27 | 0x9f => Message::Unregister,
        0x92 => Message::LineStat {
            line: body.number()?,
            number: body.text(24)?,
        },
        0x147 => {
            let line = body.number()?;
            body.skip(4)?;
            let number = body.string()?;
            Message::LineStat { line, number }
        }
        0x8f => Message::CallInfo(call_info(&mut body)?),
        0x14a => Message::CallInfo(call_info_v2(&mut body)?),
        0x111 => Message::CallState {
            state: body.number()?.into(),
            line: body.number()?,
            call: body.number()?,
        },
        0x105 => Message::OpenReceiveChannel(receive_channel(&mut body)?),
        0x22 => Message::OpenReceiveChannelAck(receive_ack(&mut body)?),
        0x106 => Message::CloseReceiveChannel(channel_id(&mut body)?),
        0x8a => start_transmission(&mut body)?,
        0x154 => Message::StartMediaTransmissionAck(transmission_ack(&mut body)?),
        0x8b => Message::StopMediaTransmission(channel_id(&mut body)?),
        other => Message::Other(other),
    })
}

fn call_info(body: &mut Reader<'_>) -> Option<CallInfo> {
    body.skip(40)?;
    let calling = body.text(24)?;
    body.skip(40)?;
    let called = body.text(24)?;
    Some(CallInfo {
        line: body.number()?,
        call: body.number()?,
        direction: body.number()?.into(),
        calling,
        called,
    })
}

/// Calling party, alternate calling party, called party and more; the restriction bits are the eighth number.
fn call_info_v2(body: &mut Reader<'_>) -> Option<CallInfo> {
    let (line, call, direction) = (body.number()?, body.number()?, body.number()?);
    body.skip(5 * 4)?;
    let calling = body.string()?;
    body.string()?;
    Some(CallInfo {
        line,
        call,
        direction: direction.into(),
        calling,
        called: body.string()?,
    })
}

/// Conference, channel, milliseconds, payload, echo cancellation, codec parameters, call, encryption.
fn receive_channel(body: &mut Reader<'_>) -> Option<Channel> {
    body.skip(4)?;
    let (party, packet_time, payload) = (body.number()?, body.number()?, body.number()?);
    let call = body.skip(8).and_then(|()| body.number()).unwrap_or(0);
    Some(Channel {
        id: ChannelId { party, call },
        payload,
        packet_time,
        encrypted: body.number().is_some_and(|algorithm| algorithm != 0),
    })
}

fn receive_ack(body: &mut Reader<'_>) -> Option<ChannelAck> {
    let status = body.number()?;
    let address = body.address()?;
    let (party, call) = (body.number()?, body.number().unwrap_or(0));
    Some(ChannelAck {
        id: ChannelId { party, call },
        address: set(address).filter(|_| status == 0),
    })
}

/// Conference, channel, remote address, milliseconds, payload, four words of qualifiers, call, encryption.
fn start_transmission(body: &mut Reader<'_>) -> Option<Message> {
    body.skip(4)?;
    let party = body.number()?;
    let remote = body.address()?;
    let (packet_time, payload) = (body.number()?, body.number()?);
    let call = body.skip(16).and_then(|()| body.number()).unwrap_or(0);
    let channel = Channel {
        id: ChannelId { party, call },
        payload,
        packet_time,
        encrypted: body.number().is_some_and(|algorithm| algorithm != 0),
    };
    Some(match set(remote) {
        Some(remote) => Message::StartMediaTransmission { channel, remote },
        None => Message::Other(0x8a),
    })
}

fn transmission_ack(body: &mut Reader<'_>) -> Option<ChannelAck> {
    body.skip(4)?;
    let (party, call) = (body.number()?, body.number()?);
    let address = body.address()?;
    let status = body.number()?;
    Some(ChannelAck {
        id: ChannelId { party, call },
        address: set(address).filter(|_| status == 0),
    })
}

/// Conference, channel, call; phones of old leave the call out.
fn channel_id(body: &mut Reader<'_>) -> Option<ChannelId> {
    body.skip(4)?;
    Some(ChannelId {
        party: body.number()?,
        call: body.number().unwrap_or(0),
    })
}

impl From<u32> for CallDirection {
    fn from(number: u32) -> Self {
        match number {
            1 => Self::Inbound,
            2 => Self::Outbound,
            3 => Self::Forwarded,
            _ => Self::Other,
        }
    }
}

impl From<u32> for CallState {
    fn from(number: u32) -> Self {
        match number {
            2 => Self::OnHook,
            5 => Self::Connected,
            8 => Self::Hold,
            other => Self::Other(other),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Header {
    /// Bytes of message id and body.
    rest: u32,
    version: u32,
    id: u32,
}

impl Header {
    fn parse(bytes: &[u8]) -> Result<Self, SccpError> {
        let mut words = Reader::new(bytes, false);
        let mut word = || words.number().ok_or(SccpError::Header);
        let header = Self {
            rest: word()?,
            version: word()?,
            id: word()?,
        };
        let plausible = (4..=LARGEST).contains(&header.rest) && header.version <= NEWEST && header.id <= LAST_ID;
        plausible.then_some(header).ok_or(SccpError::Header)
    }

    /// Bytes of the whole message.
    fn length(self) -> usize {
        usize::try_from(self.rest).map_or(usize::MAX, |rest| rest.saturating_add(HEADER - 4))
    }
}

/// How long the message is that the bytes begin with, or `None` where more must come to know.
///
/// # Errors
/// Where no message begins here.
pub fn message_length(bytes: &[u8]) -> Result<Option<usize>, SccpError> {
    if bytes.len() < HEADER {
        return Ok(None);
    }
    let length = Header::parse(bytes)?.length();
    Ok((length <= bytes.len()).then_some(length))
}

/// Where the next message begins: at the first header that is followed by another one or by nothing. One whose message
/// isn't whole counts at the very beginning only: too many bytes look like it.
pub fn find_start(bytes: &[u8]) -> Option<usize> {
    let begins = |at: &usize| {
        let Some(header) = bytes.get(*at..).and_then(|rest| Header::parse(rest).ok()) else {
            return false;
        };
        match bytes.get(at.saturating_add(header.length())..) {
            None => *at == 0,
            Some(next) => next.len() < HEADER || Header::parse(next).is_ok(),
        }
    };
    (0..bytes.len().saturating_sub(HEADER - 1)).find(begins)
}

#[cfg(test)]
mod tests;
