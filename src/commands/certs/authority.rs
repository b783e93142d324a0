//! What is done where the authority lives: signing, revoking, listing.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use silentmon_certs::{CertificateAuthority, IntermediateOptions, SignOptions, SubjectHost, SubjectName};
use time::OffsetDateTime;

use super::show::{describe, describe_holder, state};
use super::{PasswordArgs, Role, failure, warn_of};
use crate::output;

#[derive(Debug, Args)]
pub(super) struct CrlArgs {
    /// Directory of the authority.
    #[arg(long, value_name = "DIR")]
    ca: PathBuf,
    /// Current lists of the authorities above it, a file or the folder of the one above: they are checked and kept beside
    /// it, and its own list stays as it is.
    #[arg(long, value_name = "FILE_OR_DIR", conflicts_with = "password_file")]
    above: Option<PathBuf>,
    #[command(flatten)]
    password: PasswordArgs,
}

#[derive(Debug, Args)]
pub(super) struct SignArgs {
    /// Directory of the authority.
    #[arg(long, value_name = "DIR")]
    ca: PathBuf,
    /// The request.
    #[arg(long, value_name = "FILE")]
    csr: PathBuf,
    /// How long the certificate is good, at most as long as the authority [default: 825, or what policy allows; 3650 with
    /// --intermediate].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: Option<u32>,
    /// The role to grant: refuses a request for another one; needed for requests of other tools.
    #[arg(long)]
    role: Option<Role>,
    /// The name to grant, likewise.
    #[arg(long)]
    name: Option<SubjectName>,
    /// A host that may be granted, several times where there are several: refuses a request for another one.
    #[arg(long = "host", value_name = "HOST_OR_IP", value_delimiter = ',')]
    hosts: Option<Vec<SubjectHost>>,
    /// Makes an authority below this one of whoever asks for that (`certs init-ca --request`): nothing else does.
    #[arg(long, conflicts_with_all = ["role", "hosts"])]
    intermediate: bool,
    /// How many authorities may stand between the one below and a holder [default: one fewer than below this one].
    #[arg(long, value_name = "N", requires = "intermediate")]
    path_length: Option<u8>,
    /// The certificate with its chain; that of an authority with the revocation lists of those above it, too.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    password: PasswordArgs,
}

#[derive(Debug, Args)]
pub(super) struct RevokeArgs {
    /// Directory of the authority.
    #[arg(long, value_name = "DIR")]
    ca: PathBuf,
    /// The certificate's file or its serial number.
    #[arg(value_name = "CERT_OR_SERIAL")]
    certificate: String,
    #[command(flatten)]
    password: PasswordArgs,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Directory of the authority.
    #[arg(long, value_name = "DIR")]
    ca: PathBuf,
    /// One JSON document.
    #[arg(long)]
    json: bool,
}

pub(super) fn sign(args: SignArgs) -> anyhow::Result<ExitCode> {
    let authority = args.password.open(&args.ca)?;
    if args.intermediate {
        return sign_intermediate(&authority, args);
    }
    let options = SignOptions {
        days: args.days,
        role: args.role,
        name: args.name,
        hosts: args.hosts,
    };
    let issued = authority
        .sign(&args.csr, &options, &args.out)
        .map_err(|error| failure(&error))?;
    output::line(&format!("{}  {}", args.out.display(), describe(&issued.identity)));
    for ignored in issued.ignored {
        output::complain(&format!("not copied from the request: {ignored}"));
    }
    Ok(ExitCode::SUCCESS)
}

fn sign_intermediate(authority: &CertificateAuthority, args: SignArgs) -> anyhow::Result<ExitCode> {
    let options = IntermediateOptions {
        days: args.days,
        name: args.name,
        path_length: args.path_length,
    };
    let made = authority
        .sign_intermediate(&args.csr, &options, &args.out)
        .map_err(|error| failure(&error))?;
    let now = OffsetDateTime::now_utc();
    output::line(&format!("{}  {}", args.out.display(), describe_holder(&made, now)));
    output::line("take it back to that machine: silentmon certs init-ca --out DIR --answer FILE");
    Ok(ExitCode::SUCCESS)
}

pub(super) fn revoke(args: &RevokeArgs) -> anyhow::Result<ExitCode> {
    let authority = args.password.open(&args.ca)?;
    let entry = authority.revoke(&args.certificate).map_err(|error| failure(&error))?;
    let list = args.ca.join("crl.pem");
    output::line(&format!(
        "revoked {}; give {} to every server and supervisor",
        entry.serial,
        list.display()
    ));
    Ok(ExitCode::SUCCESS)
}

pub(super) fn renew_list(args: &CrlArgs) -> anyhow::Result<ExitCode> {
    if let Some(source) = &args.above {
        return refresh_above(&args.ca, source);
    }
    let authority = args.password.open(&args.ca)?;
    authority.renew_revocation_list().map_err(|error| failure(&error))?;
    let list = args.ca.join("crl.pem");
    output::line(&format!("{}: give it to every server and supervisor", list.display()));
    Ok(ExitCode::SUCCESS)
}

fn refresh_above(directory: &Path, source: &Path) -> anyhow::Result<ExitCode> {
    let taken = CertificateAuthority::refresh_lists_above(directory, source).map_err(|error| failure(&error))?;
    for list in taken {
        let until = list.until.map(|end| format!(", to be replaced by {}", end.date()));
        output::line(&format!("the list of {}{}", list.issuer, until.unwrap_or_default()));
    }
    warn_of(directory);
    Ok(ExitCode::SUCCESS)
}

pub(super) fn list(args: &ListArgs) -> anyhow::Result<ExitCode> {
    let rows = CertificateAuthority::list(&args.ca).map_err(|error| failure(&error))?;
    warn_of(&args.ca);
    let now = OffsetDateTime::now_utc();
    if args.json {
        let rows: Vec<_> = rows
            .iter()
            .map(|(who, revoked)| {
                let days = who.expiry().days_left(now).floor();
                json!({"certificate": who, "state": state(who, *revoked, now), "days_left": days})
            })
            .collect();
        output::json(&rows)?;
        return Ok(ExitCode::SUCCESS);
    }
    for (who, revoked) in rows {
        output::line(&format!(
            "{:<8} {}",
            state(&who, revoked, now),
            describe_holder(&who, now)
        ));
    }
    Ok(ExitCode::SUCCESS)
}
