//! Certificates in words.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use silentmon_certs::{CertificateSummary, Identity, Nearness, RequestSummary, Serial, SubjectName, inspect};
use time::OffsetDateTime;

use super::failure;
use crate::exit::ExitKind;
use crate::output;

#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    /// A PEM file of certificates or requests.
    file: PathBuf,
    /// One JSON document.
    #[arg(long)]
    json: bool,
}

pub(super) fn show(args: &InspectArgs) -> anyhow::Result<ExitCode> {
    let found = inspect(&args.file).map_err(|error| failure(&error))?;
    let now = OffsetDateTime::now_utc();
    let all_valid = found
        .certificates
        .iter()
        .all(|certificate| validity(certificate, now) == "valid");
    if args.json {
        output::json(&found)?;
    } else {
        found
            .certificates
            .iter()
            .for_each(|certificate| show_certificate(certificate, now));
        found.requests.iter().for_each(show_request);
        let others = [
            (found.private_keys, "private key"),
            (found.revocation_lists, "revocation list"),
        ];
        for (count, what) in others.into_iter().filter(|(count, _)| *count > 0) {
            output::line(&format!("{what}: {count}"));
        }
    }
    Ok(if all_valid {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(ExitKind::No as u8)
    })
}

/// The word for a certificate's state.
pub(super) fn state(who: &CertificateSummary, revoked: Option<OffsetDateTime>, now: OffsetDateTime) -> &'static str {
    match revoked {
        Some(_) => "revoked",
        None if who.not_after < now => "expired",
        None => "valid",
    }
}

/// A certificate that was just issued, in one line.
pub(super) fn describe(who: &Identity) -> String {
    line(
        &format!("{} {}", who.role, who.name),
        &who.hosts,
        who.not_after,
        &who.serial,
    )
}

/// Any certificate in one line, with a warning where its end is near.
pub(super) fn describe_holder(who: &CertificateSummary, now: OffsetDateTime) -> String {
    let role = match (who.role, who.authority) {
        (Some(role), _) => role.to_string(),
        (None, true) => "authority".to_owned(),
        (None, false) => "without a role:".to_owned(),
    };
    let line = line(
        &format!("{role} {}", who.holder()),
        &who.hosts,
        who.not_after,
        &who.serial,
    );
    format!("{line}{}", days_left(who, now))
}

fn line(holder: &str, hosts: &[String], end: OffsetDateTime, serial: &Serial) -> String {
    let hosts = if hosts.is_empty() {
        String::new()
    } else {
        format!(" for {}", hosts.join(", "))
    };
    format!("{holder}{hosts}, until {}, serial {serial}", end.date())
}

/// How many days are left, where they are few.
fn days_left(who: &CertificateSummary, now: OffsetDateTime) -> String {
    match who.expiry().nearness(now) {
        None | Some(Nearness::Over) => String::new(),
        Some(Nearness::Month | Nearness::Fortnight | Nearness::Days) => {
            format!(" ({} days left)", (who.not_after - now).whole_days())
        }
    }
}

fn validity(certificate: &CertificateSummary, now: OffsetDateTime) -> &'static str {
    if now < certificate.not_before {
        "not yet valid"
    } else if now > certificate.not_after {
        "expired"
    } else {
        "valid"
    }
}

fn show_certificate(certificate: &CertificateSummary, now: OffsetDateTime) {
    let kind = match (certificate.role, certificate.authority) {
        (Some(role), _) => role.to_string(),
        (None, true) => "authority".to_owned(),
        (None, false) => "no silentmon role".to_owned(),
    };
    let name = certificate
        .name
        .as_ref()
        .map_or(certificate.subject.as_str(), SubjectName::as_str);
    output::line(&format!("certificate: {kind} {name}"));
    if !certificate.hosts.is_empty() {
        output::line(&format!("  hosts        {}", certificate.hosts.join(", ")));
    }
    let (from, to) = (certificate.not_before.date(), certificate.not_after.date());
    output::line(&format!(
        "  validity     {from} to {to} ({}){}",
        validity(certificate, now),
        days_left(certificate, now)
    ));
    output::line(&format!("  issuer       {}", certificate.issuer));
    output::line(&format!("  serial       {}", certificate.serial));
    output::line(&format!("  fingerprint  {}", certificate.fingerprint));
}

fn show_request(request: &RequestSummary) {
    let role = match (request.role, request.authority) {
        (Some(role), _) => role.name(),
        (None, true) => "authority",
        (None, false) => "no role",
    };
    let name = request.name.as_ref().map_or("without a name", SubjectName::as_str);
    output::line(&format!("request: {role} {name}"));
    if !request.hosts.is_empty() {
        output::line(&format!("  hosts        {}", request.hosts.join(", ")));
    }
    for ignored in &request.ignored {
        output::line(&format!("  not granted  {ignored}"));
    }
}
