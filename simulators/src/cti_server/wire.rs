//! Bytes of GED-188 (protocol sheet 1.1): header, fixed part, floating part whose tags are one byte wide up to
//! protocol version 19 and two from 20 on. Everything is big-endian.

/// A client's protocol version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(pub u32);

impl Version {
    const fn wide_tags(self) -> bool {
        self.0 >= 20
    }

    /// DepartmentID stands in the fixed part; addresses hold IPv6 text.
    pub const fn departments(self) -> bool {
        self.0 >= 19
    }
}

/// A message being written.
#[derive(Debug, Clone)]
pub(super) struct Message {
    version: Version,
    bytes: Vec<u8>,
}

impl Message {
    pub fn new(version: Version, message_type: u32) -> Self {
        let mut bytes = vec![0; 4];
        bytes.extend(message_type.to_be_bytes());
        Self { version, bytes }
    }

    pub fn version(&self) -> Version {
        self.version
    }

    pub fn u16(mut self, value: u16) -> Self {
        self.bytes.extend(value.to_be_bytes());
        self
    }

    pub fn u32(mut self, value: u32) -> Self {
        self.bytes.extend(value.to_be_bytes());
        self
    }

    /// DepartmentID 0, where the version has it.
    pub fn department(self) -> Self {
        if self.version.departments() { self.u32(0) } else { self }
    }

    pub fn float(mut self, tag: u16, data: &[u8]) -> Self {
        let widest = if self.version.wide_tags() { 0xffff } else { 0xff };
        let data = &data[..data.len().min(widest)];
        // Both fit: the tags used by old versions are below 256, and the data was cut.
        let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
        for value in [tag, length] {
            let [high, low] = value.to_be_bytes();
            if self.version.wide_tags() {
                self.bytes.push(high);
            }
            self.bytes.push(low);
        }
        self.bytes.extend(data);
        self
    }

    /// A STRING, cut to `most` bytes with its terminating NUL.
    pub fn text(self, tag: u16, text: &str, most: usize) -> Self {
        let mut data: Vec<u8> = text.bytes().filter(|byte| *byte != 0).take(most - 1).collect();
        data.push(0);
        self.float(tag, &data)
    }

    /// The same for what may not be known.
    pub fn maybe_text(self, tag: u16, text: Option<&str>, most: usize) -> Self {
        match text {
            Some(text) => self.text(tag, text, most),
            None => self,
        }
    }

    pub fn float_u16(self, tag: u16, value: u16) -> Self {
        self.float(tag, &value.to_be_bytes())
    }

    pub fn float_u32(self, tag: u16, value: u32) -> Self {
        self.float(tag, &value.to_be_bytes())
    }

    /// The message with its length.
    pub fn finish(mut self) -> Vec<u8> {
        let length = u32::try_from(self.bytes.len() - 8).unwrap_or(u32::MAX);
        self.bytes[..4].copy_from_slice(&length.to_be_bytes());
        self.bytes
    }
}

/// A request as it came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Body<'a>(pub &'a [u8]);

impl<'a> Body<'a> {
    pub fn u32(self, offset: usize) -> Option<u32> {
        let bytes = self.0.get(offset..offset + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    }

    pub fn u16(self, offset: usize) -> Option<u16> {
        let bytes = self.0.get(offset..offset + 2)?;
        Some(u16::from_be_bytes(bytes.try_into().ok()?))
    }

    /// The floating fields behind a fixed part; `None` where they don't end with the message.
    pub fn floats(self, version: Version, fixed: usize) -> Option<Vec<(u16, &'a [u8])>> {
        let mut rest = self.0.get(fixed..)?;
        let mut fields = Vec::new();
        while !rest.is_empty() {
            let (tag, length, header) = if version.wide_tags() {
                let [t1, t0, l1, l0] = *rest.first_chunk()?;
                (u16::from_be_bytes([t1, t0]), u16::from_be_bytes([l1, l0]), 4)
            } else {
                let [tag, length] = *rest.first_chunk()?;
                (u16::from(tag), u16::from(length), 2)
            };
            let end = header + usize::from(length);
            fields.push((tag, rest.get(header..end)?));
            rest = &rest[end..];
        }
        Some(fields)
    }
}

/// The text in a STRING field: up to its first NUL.
pub(super) fn text_of(data: &[u8]) -> String {
    let end = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    String::from_utf8_lossy(&data[..end]).into_owned()
}

/// Cuts messages out of a stream. Sanity as in the sheet: what is longer than 64 KiB is no message.
#[derive(Debug, Default)]
pub(super) struct Framer(Vec<u8>);

/// A stream that isn't made of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OutOfSync;

impl Framer {
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
    }

    /// The next whole message: its type and body.
    pub fn next(&mut self) -> Result<Option<(u32, Vec<u8>)>, OutOfSync> {
        let head = Body(&self.0);
        let (Some(length), Some(message_type)) = (head.u32(0), head.u32(4)) else {
            return Ok(None);
        };
        if length > 0xffff || !(1..=300).contains(&message_type) {
            return Err(OutOfSync);
        }
        let end = 8 + length as usize;
        if self.0.len() < end {
            return Ok(None);
        }
        let body = self.0[8..end].to_vec();
        self.0.drain(..end);
        Ok(Some((message_type, body)))
    }
}
