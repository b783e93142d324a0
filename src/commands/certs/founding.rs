//! An authority is made: a root, one below another, or one that another machine's authority signs.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use silentmon_certs::{AuthorityOptions, CertificateAuthority, IssuingPolicy, KeyAlgorithm, Password, SubjectName};

use super::{PasswordArgs, default_name, failure, open_authority, warn_of};
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
    /// File of rules for what it may sign, kept as policy.toml in its directory.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Only makes its key and a request, ca.csr, for an authority on another machine (`certs sign --intermediate`); where
    /// the key is there already, asks once more for its certificate.
    #[arg(long, conflicts_with_all = ["intermediate_of", "answer", "days", "policy"])]
    request: bool,
    /// Makes the authority of what came back: its certificate with those above it, and their revocation lists.
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["intermediate_of", "days", "name", "algorithm"])]
    answer: Vec<PathBuf>,
    #[command(flatten)]
    password: PasswordArgs,
}

impl InitCaArgs {
    fn issuer_password(&self) -> PasswordArgs {
        PasswordArgs {
            password_file: self.issuer_password_file.clone(),
        }
    }
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

pub(super) fn init_ca(args: InitCaArgs) -> anyhow::Result<ExitCode> {
    if let Some(file) = &args.policy {
        IssuingPolicy::read(file).map_err(|error| failure(&error))?;
    }
    if args.request {
        return ask_elsewhere(args);
    }
    if !args.answer.is_empty() {
        return take_answer(&args);
    }
    let password = Password::chosen(args.password.new_password()?).map_err(|error| failure(&error))?;
    let options = AuthorityOptions {
        name: args.name.clone().map_or_else(default_name, Ok)?,
        days: args.days,
        algorithm: args.algorithm.into(),
    };
    let made = match &args.intermediate_of {
        None => CertificateAuthority::create(&args.out, &options, &password),
        Some(directory) => {
            open_authority(directory, &args.issuer_password())?.create_below(&args.out, &options, &password)
        }
    };
    made.map_err(|error| failure(&error))?;
    adopt_policy(&args)?;
    output::line(&format!("authority \"{}\" in {}", options.name, args.out.display()));
    match &args.intermediate_of {
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

fn adopt_policy(args: &InitCaArgs) -> anyhow::Result<()> {
    if let Some(file) = &args.policy {
        IssuingPolicy::adopt(&args.out, file).map_err(|error| failure(&error))?;
    }
    Ok(())
}

fn ask_elsewhere(args: InitCaArgs) -> anyhow::Result<ExitCode> {
    let password = if args.out.join("ca.key").exists() {
        Password::existing(args.password.existing(&args.out)?)
    } else {
        Password::chosen(args.password.new_password()?).map_err(|error| failure(&error))?
    };
    let known = CertificateAuthority::name_in(&args.out).map_err(|error| failure(&error))?;
    let name = args.name.or(known).map_or_else(default_name, Ok)?;
    let request = CertificateAuthority::request(&args.out, &name, args.algorithm.into(), &password)
        .map_err(|error| failure(&error))?;
    output::line(&format!(
        "{}  request of the authority \"{name}\": to be signed with `silentmon certs sign --intermediate`",
        request.display()
    ));
    output::line("  ca.key   its key, encrypted: stays on this machine; keep a copy in a safe");
    Ok(ExitCode::SUCCESS)
}

fn take_answer(args: &InitCaArgs) -> anyhow::Result<ExitCode> {
    let password = Password::existing(args.password.existing(&args.out)?);
    let authority =
        CertificateAuthority::take_answer(&args.out, &args.answer, &password).map_err(|error| failure(&error))?;
    adopt_policy(args)?;
    output::line(&format!("authority in {}", args.out.display()));
    output::line("  ca.pem   its certificate and those above it; servers and supervisors get the last one, the root's");
    output::line(&format!(
        "           SHA-256 of the root: {}",
        authority.root_fingerprint()
    ));
    output::line(
        "  crl.pem, crl-above.pem   its revocation list and those above: all servers and supervisors need them",
    );
    warn_of(&args.out);
    Ok(ExitCode::SUCCESS)
}
