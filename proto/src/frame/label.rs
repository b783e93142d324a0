//! Labels and sessions of provider networks: MPLS (RFC 3032), pseudowires in it (RFC 4448) and PPPoE (RFC 2516).
//!
//! An MPLS stack doesn't say what it carries; the bytes after it have to tell.

use super::walk::{Layer, Next, Path, Step, split};
use super::{Rejected, Tunnel};

/// The rest of an MPLS label stack.
pub(super) fn mpls<'a>(bytes: &'a [u8], path: &mut Path) -> Step<'a> {
    path.tunnel = Some(Tunnel::Mpls);
    carried_by_mpls(label_stack(bytes)?)
}

/// Most labels in a stack; real ones have up to about six.
const MAX_LABELS: usize = 16;

/// The bytes after the bottom of the stack.
fn label_stack(bytes: &[u8]) -> Result<&[u8], Rejected> {
    let mut rest = bytes;
    for _ in 0..MAX_LABELS {
        let ([_, _, class_and_bottom, _], after) = split::<4>(rest)?;
        rest = after;
        if class_and_bottom & 1 == 1 {
            return Ok(rest);
        }
    }
    Err(Rejected::Malformed)
}

/// IP tells itself by its version; Ethernet may begin with any address, so a known EtherType decides, either at once or
/// after a control word, whose first four bits are zero (RFC 4385).
fn carried_by_mpls(bytes: &[u8]) -> Step<'_> {
    let ethernet = if is_ip(bytes) {
        None
    } else if is_ethernet(bytes) {
        Some(bytes)
    } else {
        after_control_word(bytes).filter(|frame| is_ethernet(frame))
    };
    match ethernet {
        Some(frame) => Ok(Next::new(Layer::Ethernet, frame)),
        None => super::ip::any(bytes),
    }
}

fn after_control_word(bytes: &[u8]) -> Option<&[u8]> {
    match bytes {
        [0x00..=0x0f, _, _, _, frame @ ..] => Some(frame),
        _ => None,
    }
}

/// Whether an IP header fits the bytes. Its length decides where they could be Ethernet as well; a capture may have cut
/// them, so that a length beyond the end alone is nothing to hold against it.
fn is_ip(bytes: &[u8]) -> bool {
    declared_ip_length(bytes).is_some_and(|length| length <= bytes.len() || !is_ethernet(bytes))
}

/// Length in bytes of the IP packet that the bytes begin with, by its own header.
fn declared_ip_length(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [first @ 0x45..=0x4f, _, high, low, ..] => {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            (length >= usize::from(first & 0x0f) * 4).then_some(length)
        }
        [0x60..=0x6f, _, _, _, high, low, ..] => Some(40 + usize::from(u16::from_be_bytes([*high, *low]))),
        _ => None,
    }
}

/// Whether a UDP payload is an MPLS stack (RFC 7510). RTP sent to the same port would pass for labels, so what they carry
/// must fill the payload to the byte or be Ethernet.
pub(super) fn is_mpls_in_udp(payload: &[u8], truncated: bool) -> bool {
    let Ok(carried) = label_stack(payload) else {
        return false;
    };
    let fills = |length: usize| length == carried.len() || (truncated && length > carried.len());
    declared_ip_length(carried).is_some_and(fills)
        || is_ethernet(carried)
        || after_control_word(carried).is_some_and(is_ethernet)
}

/// Whether the bytes are an Ethernet frame of a kind that is read here.
fn is_ethernet(bytes: &[u8]) -> bool {
    let Some([high, low]) = bytes.get(12..14) else {
        return false;
    };
    matches!(
        u16::from_be_bytes([*high, *low]),
        0x0800
            | 0x0806
            | 0x86dd
            | 0x8100
            | 0x8847
            | 0x8848
            | 0x8864
            | 0x88a8
            | 0x88e7
            | 0x8909
            | 0x8926
            | 0x893f
            | 0x9100
            | 0x9200
    )
}

/// A PPPoE session after its EtherType (0x8864).
pub(super) fn pppoe<'a>(bytes: &'a [u8], path: &mut Path) -> Step<'a> {
    const VERSION_1_TYPE_1: u8 = 0x11;
    const SESSION: u8 = 0x00;
    let ([version_type, code, _, _, high, low], rest) = split::<6>(bytes)?;
    if (*version_type, *code) != (VERSION_1_TYPE_1, SESSION) {
        return Err(Rejected::Malformed);
    }
    path.tunnel = Some(Tunnel::Pppoe);
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    Ok(Next::new(Layer::Ppp, rest.get(..length).unwrap_or(rest)))
}
