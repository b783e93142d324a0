//! The fixed part: how a struct's fields follow each other, and what to do when a server's are more or fewer.

use super::{Decoded, FixedSizeDeviation, Message};
use crate::cti::ged188::wire::{FixedReader, FixedWriter, Layout};
use crate::cti::ged188::{DecodeError, Floating, MessageType, ProtocolVersion};

/// A struct that stands for a message.
pub(super) trait FixedPart: Sized + Into<Message> {
    /// Size of the fixed part in a version.
    fn size(version: ProtocolVersion, body: usize) -> usize;

    fn read(fixed: &mut FixedReader<'_>, floating: Floating) -> Self;

    fn write(&self, out: &mut FixedWriter<'_>);
}

/// The smallest fixed part that may lack its last fields: shorter ones are cut off, not laid out otherwise.
const SMALLEST_CUT: usize = 20;

/// By how many bytes a fixed part may differ from every documented size.
const NEIGHBOURS: [isize; 4] = [4, 2, -4, -2];

/// One version of each layout that a fixed part had.
const LAYOUTS: [ProtocolVersion; 4] = [
    ProtocolVersion::LOWEST,
    ProtocolVersion::DEPARTMENTS,
    ProtocolVersion::WIDE_TAGS,
    ProtocolVersion::ACTIVE_STANDBY,
];

pub(super) fn decode_body<M: FixedPart>(
    message_type: MessageType,
    body: &[u8],
    version: ProtocolVersion,
) -> Result<Decoded, DecodeError> {
    let expected = M::size(version, body.len());
    let too_short = DecodeError::FixedTooShort {
        message_type,
        expected,
        found: body.len(),
    };
    let read = |size: usize, layout: Layout| {
        let (fixed, rest) = body.split_at_checked(size).ok_or_else(|| too_short.clone())?;
        let floating = Floating::decode(rest, version)?;
        Ok(M::read(&mut FixedReader::new(fixed, layout), floating).into())
    };
    match read(expected, Layout::Of(version)) {
        Ok(message) => Ok(Decoded {
            message,
            deviation: None,
        }),
        Err(error) => other_sizes::<M>(expected, body.len())
            .find_map(|found| {
                let message = read(found, Layout::Deviating).ok()?;
                Some(Decoded {
                    message,
                    deviation: Some(FixedSizeDeviation { expected, found }),
                })
            })
            .ok_or_else(|| in_floating(error, message_type, expected)),
    }
}

/// The sizes worth trying when the documented one fails: those of other versions first, then the neighbours.
fn other_sizes<M: FixedPart>(expected: usize, body: usize) -> impl Iterator<Item = usize> {
    let documented = LAYOUTS.into_iter().map(move |version| M::size(version, body));
    let neighbours = NEIGHBOURS
        .into_iter()
        .filter(move |change| *change > 0 || expected >= SMALLEST_CUT)
        .filter_map(move |change| expected.checked_add_signed(change));
    documented.chain(neighbours).filter(move |size| *size != expected)
}

fn in_floating(error: DecodeError, message_type: MessageType, fixed: usize) -> DecodeError {
    match error {
        DecodeError::FixedTooShort { .. } => error,
        _ => DecodeError::Floating {
            message_type,
            fixed,
            source: Box::new(error),
        },
    }
}

macro_rules! since {
    () => {
        0
    };
    ($since:literal) => {
        $since
    };
}

/// Declares messages: fields of the fixed part in the order of the wire, `since N` where a version brought them.
macro_rules! messages {
    ($(
        $(#[$meta:meta])*
        $name:ident { $($(#[$field_meta:meta])* $field:ident: $kind:ty $(, since $since:literal)?;)* }
    )*) => {
        $(
            $(#[$meta])*
            #[derive(Debug, Clone, PartialEq, Eq, Default)]
            pub struct $name {
                $(
                    #[doc = concat!("Field `", stringify!($field), "` of the fixed part.")]
                    $(#[$field_meta])*
                    $(#[doc = concat!("The default before version ", stringify!($since), ".")])?
                    pub $field: $kind,
                )*
                /// The floating part.
                pub floating: $crate::cti::ged188::Floating,
            }

            impl $crate::cti::ged188::message::fixed::FixedPart for $name {
                fn size(_version: $crate::cti::ged188::ProtocolVersion, _body: usize) -> usize {
                    let fields: &[(u32, usize)] = &[$((
                        $crate::cti::ged188::message::fixed::since!($($since)?),
                        <$kind as $crate::cti::ged188::Wire>::SIZE,
                    )),*];
                    fields.iter().filter(|(since, _)| *since <= _version.0).map(|(_, size)| size).sum()
                }

                fn read(
                    _fixed: &mut $crate::cti::ged188::wire::FixedReader<'_>,
                    floating: $crate::cti::ged188::Floating,
                ) -> Self {
                    Self {
                        $($field: _fixed.field($crate::cti::ged188::message::fixed::since!($($since)?)),)*
                        floating,
                    }
                }

                fn write(&self, _out: &mut $crate::cti::ged188::wire::FixedWriter<'_>) {
                    $(_out.field($crate::cti::ged188::message::fixed::since!($($since)?), self.$field);)*
                }
            }
        )*
    };
}

pub(super) use {messages, since};
