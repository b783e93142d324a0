//! What is to be said of each reason code at length: for `silentmon explain`, offline, and for docs/reasons.md, which is made
//! from it. A line that begins with `$ ` is a command.

mod access;
mod cti;
mod listener;
mod mirror;
mod nic;
mod servers;

use std::fmt;

use super::Code;

/// A page about one code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// What it means.
    pub meaning: &'static str,
    /// How it is recognised.
    pub recognised: &'static str,
    /// What evidence is shown with it.
    pub evidence: &'static str,
    /// The usual causes, the likeliest first.
    pub causes: &'static [&'static str],
    /// What to do, in this order.
    pub remedies: &'static [&'static str],
    /// Codes that look alike from the supervisor's chair.
    pub related: &'static [Code],
}

/// The page of a code.
pub const fn page(code: Code) -> &'static Page {
    match code {
        Code::AudioFlowing => &access::AUDIO_FLOWING,
        Code::NotAuthorised => &access::NOT_AUTHORISED,
        Code::LockedOut => &access::LOCKED_OUT,
        Code::ExcludedByPolicy => &access::EXCLUDED_BY_POLICY,
        Code::PaymentPause => &access::PAYMENT_PAUSE,
        Code::AuditUnwritable => &access::AUDIT_UNWRITABLE,
        Code::CtiLinkDown => &cti::CTI_LINK_DOWN,
        Code::CtiRefused => &cti::CTI_REFUSED,
        Code::CtiPortIsPlain => &cti::CTI_PORT_IS_PLAIN,
        Code::AgentNotSignedIn => &cti::AGENT_NOT_SIGNED_IN,
        Code::AgentNotOnCall => &cti::AGENT_NOT_ON_CALL,
        Code::NoMediaAddress => &cti::NO_MEDIA_ADDRESS,
        Code::NoCaptureServer => &servers::NO_CAPTURE_SERVER,
        Code::CertificateRefused => &servers::CERTIFICATE_REFUSED,
        Code::ServicePortMismatch => &servers::SERVICE_PORT_MISMATCH,
        Code::ForeignMember => &servers::FOREIGN_MEMBER,
        Code::NoFrames => &mirror::NO_FRAMES,
        Code::OnlyOwnTraffic => &mirror::ONLY_OWN_TRAFFIC,
        Code::TagsLost => &mirror::TAGS_LOST,
        Code::AgentNotInMirror => &mirror::AGENT_NOT_IN_MIRROR,
        Code::OneSideOnly => &mirror::ONE_SIDE_ONLY,
        Code::DuplicateMirror => &mirror::DUPLICATE_MIRROR,
        Code::MirrorLoses => &mirror::MIRROR_LOSES,
        Code::Encrypted => &mirror::ENCRYPTED,
        Code::CodecNotBuiltIn => &mirror::CODEC_NOT_BUILT_IN,
        Code::FramesCutShort => &mirror::FRAMES_CUT_SHORT,
        Code::DriverDiscardsTags => &nic::DRIVER_DISCARDS_TAGS,
        Code::FramesCutByNic => &nic::FRAMES_CUT_BY_NIC,
        Code::FramesDamaged => &nic::FRAMES_DAMAGED,
        Code::FramesLost => &nic::FRAMES_LOST,
        Code::StampsWrong => &nic::STAMPS_WRONG,
        Code::RelayBlocked => &listener::RELAY_BLOCKED,
        Code::RelayLate => &listener::RELAY_LATE,
        Code::NoSoundCard => &listener::NO_SOUND_CARD,
        Code::OutputMuted => &listener::OUTPUT_MUTED,
    }
}

/// A code's page as Markdown, below a heading of its own.
#[derive(Debug, Clone, Copy)]
pub struct Markdown(pub Code);

/// A code's page for a terminal.
#[derive(Debug, Clone, Copy)]
pub struct Terminal(pub Code);

impl fmt::Display for Markdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (code, page) = (self.0, page(self.0));
        writeln!(f, "## {code}\n\n**{}** ({})\n", code.sentence(), code.hop())?;
        writeln!(f, "{}\n", page.meaning)?;
        writeln!(f, "*Recognised by:* {}\n", page.recognised)?;
        if !page.evidence.is_empty() {
            writeln!(f, "*Evidence:* {}\n", page.evidence)?;
        }
        for (title, items) in [("Usual causes", page.causes), ("What to do", page.remedies)] {
            if items.is_empty() {
                continue;
            }
            writeln!(f, "{title}:\n")?;
            for (number, item) in items.iter().enumerate() {
                match item.split_once("\n$ ") {
                    Some((words, command)) => {
                        writeln!(f, "{}. {words}", number + 1)?;
                        for line in command.split("\n$ ") {
                            writeln!(f, "   - `{line}`")?;
                        }
                    }
                    None => writeln!(f, "{}. {item}", number + 1)?,
                }
            }
            writeln!(f)?;
        }
        if page.related.is_empty() {
            return Ok(());
        }
        let link = |code: &Code| format!("[{code}](#{})", code.to_string().to_lowercase());
        let related: Vec<_> = page.related.iter().map(link).collect();
        writeln!(f, "See also {}.\n", related.join(", "))
    }
}

/// Columns of a terminal that are used.
const WIDTH: usize = 100;

impl fmt::Display for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (code, page) = (self.0, page(self.0));
        writeln!(f, "{code}  {}  (hop: {})\n", code.sentence(), code.hop())?;
        wrap(f, "", page.meaning)?;
        writeln!(f, "\nHow it is recognised")?;
        wrap(f, "  ", page.recognised)?;
        if !page.evidence.is_empty() {
            writeln!(f, "\nWhat is shown with it")?;
            wrap(f, "  ", page.evidence)?;
        }
        for (title, items) in [
            ("Usual causes, the likeliest first", page.causes),
            ("What to do", page.remedies),
        ] {
            if items.is_empty() {
                continue;
            }
            writeln!(f, "\n{title}")?;
            for (number, item) in items.iter().enumerate() {
                let mut lines = item.split('\n');
                let first = lines.next().unwrap_or_default();
                wrap(f, "  ", &format!("{}. {first}", number + 1))?;
                for command in lines {
                    writeln!(f, "       {command}")?;
                }
            }
        }
        if !page.related.is_empty() {
            let related: Vec<_> = page.related.iter().map(Code::to_string).collect();
            writeln!(f, "\nSee also {}", related.join(", "))?;
        }
        Ok(())
    }
}

/// Writes words in lines of at most [`WIDTH`] columns.
fn wrap(f: &mut fmt::Formatter<'_>, indent: &str, text: &str) -> fmt::Result {
    let mut column = 0;
    for word in text.split(' ') {
        let length = word.chars().count();
        if column == 0 {
            write!(f, "{indent}{word}")?;
            column = indent.len() + length;
        } else if column + 1 + length > WIDTH {
            write!(f, "\n{indent}{word}")?;
            column = indent.len() + length;
        } else {
            write!(f, " {word}")?;
            column += 1 + length;
        }
    }
    writeln!(f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_says_what_it_means_how_it_is_recognised_and_what_to_do() {
        for &code in Code::ALL {
            let page = page(code);
            assert!(page.meaning.ends_with('.') && page.recognised.ends_with('.'), "{code}");
            assert!(!page.remedies.is_empty() || code == Code::AudioFlowing, "{code}");
            assert!(!page.related.contains(&code), "{code} names itself");
            for text in page.causes.iter().chain(page.remedies) {
                assert!(text.len() > 10 && !text.contains("  "), "{code}: {text}");
            }
        }
    }

    #[test]
    fn a_page_fits_a_terminal() {
        for &code in Code::ALL {
            let text = Terminal(code).to_string();
            let long = text
                .lines()
                .find(|line| line.chars().count() > WIDTH && !line.contains("$ "));
            assert_eq!(long, None, "{code}");
        }
    }
}
