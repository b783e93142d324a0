//! Addresses of SIP: `"Anna" <sip:3001@pbx>;tag=1` and the URIs in them (RFC 3261 section 19.1, RFC 3966).

use super::header::outside_quotes;

/// A URI with its display name and the parameters of its header field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NameAddr<'a> {
    /// The URI.
    pub uri: Uri<'a>,
    parameters: &'a str,
}

/// A `sip:`, `sips:` or `tel:` URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Uri<'a> {
    user: &'a str,
    /// The host without its port; empty in a `tel:` URI.
    pub host: &'a str,
}

impl<'a> NameAddr<'a> {
    /// Reads a value of From, To, Contact and their like. What can't be read is empty.
    pub fn parse(text: &'a str) -> Self {
        let bracket = outside_quotes(text, '<');
        let inside = bracket
            .and_then(|at| text.get(at + 1..))
            .map(|rest| match rest.split_once('>') {
                Some((uri, after)) => (uri, after),
                None => (rest, ""),
            });
        // Without brackets, parameters belong to the header field (RFC 3261 section 20.10).
        let (uri, parameters) = inside.unwrap_or_else(|| text.split_once(';').unwrap_or((text, "")));
        Self {
            uri: Uri::parse(uri.trim()),
            parameters,
        }
    }

    /// Parameters without an address: media types write theirs the same way.
    pub(super) fn with_parameters(parameters: &'a str) -> Self {
        Self {
            parameters,
            ..Self::default()
        }
    }

    /// The tag.
    pub fn tag(&self) -> Option<&'a str> {
        self.parameter("tag")
    }

    /// A parameter's value, without its quotes.
    pub fn parameter(&self, name: &str) -> Option<&'a str> {
        let mut rest = Some(self.parameters);
        while let Some(text) = rest {
            let end = outside_quotes(text, ';');
            rest = end.and_then(|end| text.get(end + 1..));
            let parameter = end.and_then(|end| text.get(..end)).unwrap_or(text);
            if let Some((key, value)) = parameter.split_once('=')
                && key.trim().eq_ignore_ascii_case(name)
            {
                return Some(value.trim().trim_matches('"'));
            }
        }
        None
    }
}

impl<'a> Uri<'a> {
    /// Reads a URI; one of another scheme has neither user nor host.
    pub fn parse(text: &'a str) -> Self {
        let Some((scheme, rest)) = text.split_once(':') else {
            return Self::default();
        };
        match scheme.to_ascii_lowercase().as_str() {
            "tel" => Self { user: rest, host: "" },
            "sip" | "sips" => {
                let rest = rest.split_once('?').map_or(rest, |(rest, _)| rest);
                let (user, host) = rest.rsplit_once('@').unwrap_or(("", rest));
                let host = host.split(';').next().unwrap_or_default();
                Self {
                    user: user.split_once(':').map_or(user, |(user, _)| user),
                    host: without_port(host),
                }
            }
            _ => Self::default(),
        }
    }

    /// The user part as a telephone system numbers its devices: escapes resolved, without parameters, and a number
    /// without its `+` and visual separators (RFC 3966 section 5.1.1). `None` where there is no user.
    pub fn device(&self) -> Option<String> {
        let user = self.user.split(';').next().unwrap_or_default();
        let user = unescape(user);
        let is_number = |text: &str| text.chars().all(|c| c.is_ascii_digit() || "-.() *#".contains(c));
        let number = user.strip_prefix('+').unwrap_or(&user);
        let device = if is_number(number) {
            number.chars().filter(|c| !"-.() ".contains(*c)).collect()
        } else {
            user
        };
        (!device.is_empty()).then_some(device)
    }
}

fn without_port(host: &str) -> &str {
    if let Some(bracketed) = host.strip_prefix('[') {
        return bracketed.split(']').next().unwrap_or_default();
    }
    host.split(':').next().unwrap_or_default()
}

/// Resolves `%41` (RFC 3986 section 2.1); control characters become the replacement character.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = match (first, after) {
            (b'%', [high, low, ..]) => hexadecimal(*high).zip(hexadecimal(*low)),
            _ => None,
        };
        if let Some((high, low)) = escaped {
            bytes.push(high << 4 | low);
            rest = after.get(2..).unwrap_or_default();
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    text.replace(char::is_control, "\u{fffd}")
}

fn hexadecimal(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(text: &str) -> Option<String> {
        NameAddr::parse(text).uri.device()
    }

    #[test]
    fn the_device_is_the_user_part_whatever_it_is_dressed_in() {
        for text in [
            "sip:3001@pbx.example.com",
            "\"Anna, <the agent>\" <sips:3001:secret@10.1.1.1:5061;transport=tls>;tag=7",
            "<sip:3001;phone-context=example.com@[2001:db8::1]:5060>",
            "Anna <tel:3001;phone-context=+1>",
            "<sip:30%301@pbx?Route=x>",
        ] {
            assert_eq!(device(text).as_deref(), Some("3001"), "{text}");
        }
        assert_eq!(device("<tel:+49-30-(12).34>").as_deref(), Some("49301234"));
        assert_eq!(device("<sip:anna.meier@pbx>").as_deref(), Some("anna.meier"));
        for nobody in ["<sip:10.1.1.1>", "http://example.com/a@b", "", "<", "\"", "sip:%@x;tag"] {
            assert!(device(nobody).is_none_or(|device| device == "%"), "{nobody}");
        }
    }

    #[test]
    fn the_tag_is_a_parameter_of_the_field_and_not_of_the_uri() {
        let tag = |text| NameAddr::parse(text).tag();
        assert_eq!(tag("<sip:a@b;tag=1>;x=\"a;tag=2\" ; TAG = 3"), Some("3"));
        assert_eq!(tag("sip:a@b;tag=4"), Some("4"));
        assert_eq!(tag("<sip:a@b;tag=5>"), None);
    }

    #[test]
    fn the_host_stands_without_port_and_brackets() {
        let host = |text| NameAddr::parse(text).uri.host;
        assert_eq!(host("<sip:a@10.1.1.1:5060>"), "10.1.1.1");
        assert_eq!(host("<sip:a@[2001:db8::1]:5060;lr>"), "2001:db8::1");
        assert_eq!(host("<sip:pbx>"), "pbx");
    }
}
