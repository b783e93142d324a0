//! Fields of fixed size: how one integer, id or code of GED-188 lies on the wire, always big-endian.
//!
//! "None" is the greatest value of a field (0xFFFF, 0xFFFFFFFF), read as [`Option`].

use super::ProtocolVersion;

/// A value of fixed size.
pub trait Wire: Copy + Default + PartialEq {
    /// Bytes on the wire.
    const SIZE: usize;
    /// The value that says "none".
    const NONE: Self;

    /// Reads the value from exactly [`Self::SIZE`] bytes.
    fn from_wire(bytes: &[u8]) -> Self;

    /// Appends the value's bytes.
    fn to_wire(self, out: &mut Vec<u8>);
}

macro_rules! unsigned {
    ($($integer:ty),*) => {
        $(impl Wire for $integer {
            const SIZE: usize = size_of::<$integer>();
            const NONE: Self = <$integer>::MAX;

            fn from_wire(bytes: &[u8]) -> Self {
                bytes.iter().fold(0, |value, byte| (value << 8) | Self::from(*byte))
            }

            fn to_wire(self, out: &mut Vec<u8>) {
                out.extend(self.to_be_bytes());
            }
        })*
    };
}

unsigned!(u16, u32);

/// BOOL: two bytes, everything but 0 is true.
impl Wire for bool {
    const SIZE: usize = u16::SIZE;
    const NONE: Self = false;

    fn from_wire(bytes: &[u8]) -> Self {
        u16::from_wire(bytes) != 0
    }

    fn to_wire(self, out: &mut Vec<u8>) {
        u16::from(self).to_wire(out);
    }
}

impl<T: Wire> Wire for Option<T> {
    const SIZE: usize = T::SIZE;
    const NONE: Self = None;

    fn from_wire(bytes: &[u8]) -> Self {
        let value = T::from_wire(bytes);
        (value != T::NONE).then_some(value)
    }

    fn to_wire(self, out: &mut Vec<u8>) {
        self.unwrap_or(T::NONE).to_wire(out);
    }
}

/// Where a fixed part's size differs from what the session's version says, every field that fits is read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Layout {
    Of(ProtocolVersion),
    Deviating,
}

/// Reads the fields of a fixed part in order.
#[derive(Debug)]
pub(super) struct FixedReader<'a> {
    rest: &'a [u8],
    layout: Layout,
}

impl<'a> FixedReader<'a> {
    pub(super) const fn new(fixed: &'a [u8], layout: Layout) -> Self {
        Self { rest: fixed, layout }
    }

    /// Bytes not yet read.
    pub(super) const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The next field; the default where the version doesn't have it yet or the part ends before.
    pub(super) fn field<T: Wire>(&mut self, since: u32) -> T {
        if matches!(self.layout, Layout::Of(version) if version.0 < since) {
            return T::default();
        }
        let Some((field, rest)) = self.rest.split_at_checked(T::SIZE) else {
            self.rest = &[];
            return T::default();
        };
        self.rest = rest;
        T::from_wire(field)
    }
}

/// Writes the fields of a fixed part in order.
#[derive(Debug)]
pub(super) struct FixedWriter<'a> {
    pub(super) out: &'a mut Vec<u8>,
    pub(super) version: ProtocolVersion,
}

impl FixedWriter<'_> {
    /// The next field; nothing where the version doesn't have it yet.
    pub(super) fn field<T: Wire>(&mut self, since: u32, value: T) {
        if self.version.0 >= since {
            value.to_wire(self.out);
        }
    }
}

/// A number with names: ids, codes. Unknown values survive.
macro_rules! number {
    ($(#[$meta:meta])* $name:ident: $raw:ty { $($(#[$constant_meta:meta])* $constant:ident = $value:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $raw);

        impl $name {
            $(
                #[doc = concat!("`", stringify!($constant), "`, ", stringify!($value), ".")]
                $(#[$constant_meta])*
                pub const $constant: Self = Self($value);
            )*

            /// The standard's name of the value, where it is known.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some(stringify!($constant)),)*
                    _ => None,
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, "{}", self.0),
                }
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({})", stringify!($name), self)
            }
        }

        $crate::cti::ged188::wire::wire_newtype!($name: $raw);
    };
}

/// A set of bits with names. Unknown bits survive.
macro_rules! mask {
    ($(#[$meta:meta])* $name:ident: $raw:ty { $($(#[$bit_meta:meta])* $bit:ident = $value:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
        pub struct $name(pub $raw);

        impl $name {
            $(
                #[doc = concat!("`", stringify!($bit), "`, ", stringify!($value), ".")]
                $(#[$bit_meta])*
                pub const $bit: Self = Self($value);
            )*

            /// Whether all bits of `other` are set.
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// The bits of both.
            #[must_use]
            pub const fn with(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// The bits that aren't in `other`.
            #[must_use]
            pub const fn without(self, other: Self) -> Self {
                Self(self.0 & !other.0)
            }

            /// The names of the bits set, in the standard's order; unknown bits have none.
            pub fn names(self) -> impl Iterator<Item = &'static str> {
                let all: &[(&'static str, Self)] = &[$((stringify!($bit), Self::$bit)),*];
                all.iter().filter(move |(_, bit)| self.contains(*bit)).map(|(name, _)| *name)
            }
        }

        impl std::ops::BitOr for $name {
            type Output = Self;

            fn bitor(self, other: Self) -> Self {
                self.with(other)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({:#x}", stringify!($name), self.0)?;
                for name in self.names() {
                    write!(f, " {name}")?;
                }
                f.write_str(")")
            }
        }

        $crate::cti::ged188::wire::wire_newtype!($name: $raw);
    };
}

macro_rules! wire_newtype {
    ($name:ident: $raw:ty) => {
        impl $crate::cti::ged188::wire::Wire for $name {
            const SIZE: usize = <$raw as $crate::cti::ged188::wire::Wire>::SIZE;
            const NONE: Self = Self(<$raw>::MAX);

            fn from_wire(bytes: &[u8]) -> Self {
                Self(<$raw as $crate::cti::ged188::wire::Wire>::from_wire(bytes))
            }

            fn to_wire(self, out: &mut Vec<u8>) {
                self.0.to_wire(out);
            }
        }
    };
}

pub(super) use {mask, number, wire_newtype};
