//! Device ids as peers decorate them, brought to one form.

/// The bare number or name of a device id, or nothing where it says only that it is unknown.
///
/// `N<302118840100>Line;displayNumber=…;noa=nk` (switch-specific, ECMA-269 clause 12.3.8) → `302118840100`;
/// `tel:3001;phone-context=x` → `3001`; `sip:3001@host;transport=tcp` → `3001@host`.
pub fn normalize(device: &str) -> Option<String> {
    let device = device.trim();
    let bare = match dialling_number(device) {
        Some(number) => number,
        None => device.split(';').next().unwrap_or(device),
    };
    let bare = without_scheme(bare.trim()).trim();
    let bare = bare.split(';').next().unwrap_or(bare);
    let unknown = ["notKnown", "notRequired", "restricted", "notSpecified"];
    (!bare.is_empty() && !unknown.contains(&bare)).then(|| bare.to_owned())
}

fn dialling_number(device: &str) -> Option<&str> {
    let rest = device.strip_prefix("N<")?;
    Some(rest.split('>').next().unwrap_or(rest))
}

fn without_scheme(text: &str) -> &str {
    for scheme in ["tel:", "sips:", "sip:"] {
        if let Some((head, rest)) = text.split_at_checked(scheme.len())
            && head.eq_ignore_ascii_case(scheme)
        {
            return rest;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_decoration_of_a_device_comes_to_the_same_number() {
        for (device, bare) in [
            ("302118840100", "302118840100"),
            ("N<302118840100>;noa=nk", "302118840100"),
            ("N<302118840101>;displayNumber=302118840101;noa=nk", "302118840101"),
            ("N<7868772298>Line71001;displayNumber=7868772298;uid=x", "7868772298"),
            ("tel:3001;phone-context=dialstring", "3001"),
            ("SIP:3001@pbx.example;transport=tcp", "3001@pbx.example"),
            ("sips:3001@pbx.example", "3001@pbx.example"),
            ("N<tel:3001;x=y>;noa=nk", "3001"),
            ("  3001 ", "3001"),
            ("N<3001", "3001"),
        ] {
            assert_eq!(normalize(device).as_deref(), Some(bare), "{device}");
        }
    }

    #[test]
    fn an_unknown_device_is_none() {
        for device in [
            "",
            " ",
            ";noa=nk",
            "N<>;x",
            "notKnown",
            "notRequired",
            "restricted",
            "tel:",
        ] {
            assert_eq!(normalize(device), None, "{device}");
        }
    }

    proptest! {
        #[test]
        fn any_text_never_panics_and_a_bare_number_stays(text in "\\PC{0,30}", number in "[0-9A-Z]{1,12}") {
            let _ = normalize(&text);
            prop_assert_eq!(normalize(&number), Some(number));
        }
    }
}
