//! What is done where the authority lives: making it, signing, revoking, listing.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::json;
use silentmon_certs::{
    AuthorityOptions, CertificateAuthority, KeyAlgorithm, Password, SignOptions, SubjectHost, SubjectName,
};
use time::OffsetDateTime;

use super::show::{describe, describe_holder, state};
use super::{PasswordArgs, Role, default_name, failure, open_authority};
use crate::output;

#[derive(Debug, Args)]
pub(super) struct InitCaArgs {
    /// Directory of the authority.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Its name [default: "silentmon CA" and four random digits].
    #[arg(long, value_name = "TEXT")]
    name: Option<SubjectName>,
    /// How long it is good.
    #[arg(long, value_name = "N", default_value_t = AuthorityOptions::DEFAULT_DAYS, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
    /// What it signs with.
    #[arg(long, value_enum, default_value_t = Algorithm::EcdsaP256)]
    algorithm: Algorithm,
    /// Directory of the authority above it, which signs it; without it the new one is a root.
    #[arg(long, value_name = "DIR")]
    intermediate_of: Option<PathBuf>,
    /// File whose first line is the password of the authority above. Without it the terminal is asked.
    #[arg(long, value_name = "FILE", requires = "intermediate_of")]
    issuer_password_file: Option<PathBuf>,
    #[command(flatten)]
    password: PasswordArgs,
}

/// What an authority signs with.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Algorithm {
    /// ECDSA over P-256.
    #[value(name = "ecdsa-p256")]
    EcdsaP256,
    /// Ed25519.
    Ed25519,
}

impl From<Algorithm> for KeyAlgorithm {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::EcdsaP256 => Self::EcdsaP256,
            Algorithm::Ed25519 => Self::Ed25519,
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct CrlArgs {
    /// Directory of the authority.
    #[arg(long, value_name = "DIR")]
    ca: PathBuf,
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
    /// How long the certificate is good, at most as long as the authority.
    #[arg(long, value_name = "N", default_value_t = SignOptions::DEFAULT_DAYS, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
    /// The role to grant: refuses a request for another one; needed for requests of other tools.
    #[arg(long)]
    role: Option<Role>,
    /// The name to grant, likewise.
    #[arg(long)]
    name: Option<SubjectName>,
    /// A host that may be granted, several times where there are several: refuses a request for another one.
    #[arg(long = "host", value_name = "HOST_OR_IP", value_delimiter = ',')]
    hosts: Option<Vec<SubjectHost>>,
    /// The certificate.
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

pub(super) fn init_ca(args: InitCaArgs) -> anyhow::Result<ExitCode> {
    let password = Password::chosen(args.password.new_password()?).map_err(|error| failure(&error))?;
    let name = match args.name {
        Some(name) => name,
        None => default_name()?,
    };
    let options = AuthorityOptions {
        name,
        days: args.days,
        algorithm: args.algorithm.into(),
    };
    let made = match &args.intermediate_of {
        None => CertificateAuthority::create(&args.out, &options, &password),
        Some(directory) => open_authority(directory, args.issuer_password_file.as_deref())?
            .create_below(&args.out, &options, &password),
    };
    made.map_err(|error| failure(&error))?;
    output::line(&format!("authority \"{}\" in {}", options.name, args.out.display()));
    match args.intermediate_of {
        None => output::line("  ca.pem   its certificate: give it to every server and every supervisor"),
        Some(above) => output::line(&format!(
            "  ca.pem   its certificate and those above it; what every server and every supervisor gets is the root's, {}",
            above.join("ca.pem").display()
        )),
    }
    output::line("  ca.key   its key, encrypted: keep it here and keep a copy in a safe");
    output::line("  crl.pem  its revocation list, empty: give it to every server and every supervisor");
    Ok(ExitCode::SUCCESS)
}

pub(super) fn sign(args: SignArgs) -> anyhow::Result<ExitCode> {
    let authority = args.password.open(&args.ca)?;
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
    let authority = args.password.open(&args.ca)?;
    authority.renew_revocation_list().map_err(|error| failure(&error))?;
    let list = args.ca.join("crl.pem");
    output::line(&format!("{}: give it to every server and supervisor", list.display()));
    Ok(ExitCode::SUCCESS)
}

pub(super) fn list(args: &ListArgs) -> anyhow::Result<ExitCode> {
    let rows = CertificateAuthority::list(&args.ca).map_err(|error| failure(&error))?;
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
