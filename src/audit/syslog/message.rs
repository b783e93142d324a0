//! A record as a syslog message (RFC 5424), counted by octets on a TLS connection (RFC 5425 section 4.3).

use silentmon_proto::ids::ServerName;
use time::format_description::well_known::Rfc3339;

use crate::audit::chain::Record;

/// Facility 13, "log audit" (RFC 5424 section 6.2.1).
const FACILITY: u8 = 13;
/// Longest HOSTNAME (RFC 5424 section 6).
const LONGEST_NAME: usize = 255;

/// Severities that occur (RFC 5424 section 6.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Severity {
    Critical = 2,
    Warning = 4,
    Notice = 5,
}

/// How grave an event is: a journal that was tampered with, something refused, anything else.
fn severity(event: &str) -> Severity {
    if event == "journal_damaged" {
        Severity::Critical
    } else if event.ends_with("_refused") || event == "journal_mended" {
        Severity::Warning
    } else {
        Severity::Notice
    }
}

/// The frame of a record: its length, and the message, whose text is the record's line as the journal has it.
pub(super) fn frame(line: &[u8], record: &Record, server: &ServerName) -> Vec<u8> {
    let priority = FACILITY * 8 + severity(&record.event) as u8;
    // Six digits of a second are allowed.
    let nanosecond = record.at.nanosecond() / 1000 * 1000;
    let at = record.at.replace_nanosecond(nanosecond).unwrap_or(record.at);
    let at = at.format(&Rfc3339).unwrap_or_else(|_| "-".to_owned());
    let (server, event) = (printable(server.as_str(), LONGEST_NAME), printable(&record.event, 32));
    let mut message = format!("<{priority}>1 {at} {server} silentmon - {event} - ").into_bytes();
    message.extend_from_slice(line);
    let mut frame = format!("{} ", message.len()).into_bytes();
    frame.append(&mut message);
    frame
}

/// What a header may hold: printable ASCII without spaces; `-` where nothing is left.
fn printable(text: &str, longest: usize) -> String {
    let printable: String = text.chars().filter(char::is_ascii_graphic).take(longest).collect();
    if printable.is_empty() {
        "-".to_owned()
    } else {
        printable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"n":7,"at":"2026-11-22T03:03:26.749260123Z","previous":"0000000000000000000000000000000000000000000000000000000000000000","event":"session_refused","agent":"4711"}"#;

    #[test]
    fn a_record_is_a_message_of_rfc_5424_counted_as_rfc_5425_wants() {
        let record = Record::parse(LINE.as_bytes()).expect("a record");
        let frame = String::from_utf8(frame(LINE.as_bytes(), &record, &"gw 1".into())).expect("text");
        let message = format!("<108>1 2026-11-22T03:03:26.74926Z gw1 silentmon - session_refused - {LINE}");
        assert_eq!(frame, format!("{} {message}", message.len()));
    }

    #[test]
    fn what_is_graver_is_more_severe() {
        let severities = ["session_started", "session_refused", "journal_damaged"].map(severity);
        assert_eq!(severities, [Severity::Notice, Severity::Warning, Severity::Critical]);
        assert_eq!(printable("…", 9), "-");
    }
}
