//! `silentmon certs`: a certificate authority, requests, signing and revocation, for those who have no other.

mod authority;
mod enrolment;
mod founding;
mod holder;
mod policy;
mod show;
#[cfg(all(feature = "capture", feature = "playback", feature = "simulate"))]
mod throw_away;

use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use silentmon_certs::{CertificateAuthority, CertsError, Password, SubjectName};
use time::OffsetDateTime;

pub use silentmon_certs::Role;

use self::authority::{CrlArgs, ListArgs, RevokeArgs, SignArgs};
use self::enrolment::{EnrolArgs, ServeArgs, TokenArgs};
use self::founding::InitCaArgs;
use self::holder::{ImportArgs, RenewArgs, RequestArgs};
use self::policy::PolicyArgs;
use self::show::InspectArgs;
#[cfg(all(feature = "capture", feature = "playback", feature = "simulate"))]
pub use self::throw_away::ThrowAwayCa;
use crate::exit::{ExitKind, Failure};
use crate::output;

/// Arguments of `certs`.
#[derive(Debug, Args)]
pub struct CertsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Makes a certificate authority, a root or one below another: ca.pem, ca.key (encrypted) and crl.pem.
    InitCa(InitCaArgs),
    /// Makes a key and a request for its certificate, where the certificate will be used.
    Request(RequestArgs),
    /// Makes a request for a certificate like one that is in use, to be signed before that expires.
    Renew(RenewArgs),
    /// Signs a request: the certificate with its chain.
    Sign(SignArgs),
    /// Takes a certificate back: writes the authority's crl.pem.
    Revoke(RevokeArgs),
    /// Signs the authority's crl.pem again, before it ends, or takes current lists of the authorities above it.
    Crl(CrlArgs),
    /// Shows what the authority may sign, or puts rules for that into force.
    Policy(PolicyArgs),
    /// Puts keys and certificates of other tools into this program's layout, and says what is missing.
    Import(ImportArgs),
    /// Makes a one-time token for one server or supervisor, where the authority lives.
    Token(TokenArgs),
    /// Signs for whoever shows a token, until all are used or the time is over.
    Serve(ServeArgs),
    /// Makes a key here and gets its certificate from `certs serve`, by a token.
    Enrol(EnrolArgs),
    /// Lists the certificates that the authority issued.
    List(ListArgs),
    /// Shows what stands in a file; exit 1 where a certificate in it isn't valid now.
    Inspect(InspectArgs),
}

#[derive(Debug, Args)]
struct PasswordArgs {
    /// File whose first line is the authority's password; - for standard input. Without it the terminal is asked.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

/// Does what is asked of certificates.
///
/// # Errors
/// `BadData` where a file isn't what it should be, `NotPermitted` for a wrong password or missing rights,
/// `Unavailable` where a file can't be read or written, `Usage` for a password that is too short.
pub fn run(args: CertsArgs) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::InitCa(args) => founding::init_ca(args),
        Action::Request(args) => holder::request(args),
        Action::Renew(args) => holder::renew(&args),
        Action::Sign(args) => authority::sign(args),
        Action::Revoke(args) => authority::revoke(&args),
        Action::Crl(args) => authority::renew_list(&args),
        Action::Policy(args) => policy::policy(&args),
        Action::Import(args) => holder::import(&args),
        Action::Token(args) => enrolment::token(args),
        Action::Serve(args) => enrolment::serve(&args),
        Action::Enrol(args) => enrolment::enrol(&args),
        Action::List(args) => authority::list(&args),
        Action::Inspect(args) => show::show(&args),
    }
}

/// Two authorities of one name can hardly be told apart, so each gets digits of its own.
fn default_name() -> anyhow::Result<SubjectName> {
    let digits = random()? & 0xffff;
    Ok(SubjectName::new(format!("silentmon CA {digits:04x}"))?)
}

fn random() -> anyhow::Result<u64> {
    getrandom::u64().map_err(|error| Failure::error(ExitKind::Unavailable, format!("no random numbers: {error}")))
}

impl PasswordArgs {
    fn open(&self, directory: &Path) -> anyhow::Result<CertificateAuthority> {
        let authority = open_authority(directory, self)?;
        warn_of(directory);
        Ok(authority)
    }

    /// The password of a key that is there already.
    fn existing(&self, directory: &Path) -> anyhow::Result<String> {
        match &self.password_file {
            Some(file) => first_line(file),
            None => ask(&format!("Password of the authority in {}: ", directory.display())),
        }
    }

    fn new_password(&self) -> anyhow::Result<String> {
        if let Some(file) = &self.password_file {
            return first_line(file);
        }
        let password = ask("New password of the authority (at least 8 characters): ")?;
        if ask("Once more: ")? == password {
            Ok(password)
        } else {
            Err(Failure::error(ExitKind::Usage, "the two passwords differ"))
        }
    }
}

/// Opens an authority; the terminal is asked for its password where no file holds it.
fn open_authority(directory: &Path, password: &PasswordArgs) -> anyhow::Result<CertificateAuthority> {
    let password = Password::existing(password.existing(directory)?);
    CertificateAuthority::open(directory, &password).map_err(|error| failure(&error))
}

/// Says what of an authority ends soon, is missing, or was taken back. That it can't be found out is said elsewhere, by
/// what was to be done with it.
fn warn_of(directory: &Path) {
    let warnings = CertificateAuthority::warnings(directory, OffsetDateTime::now_utc());
    for warning in warnings.unwrap_or_default() {
        output::complain(&format!("note: {warning}"));
    }
}

fn ask(prompt: &str) -> anyhow::Result<String> {
    if !std::io::stdin().is_terminal() {
        let sentence =
            "no terminal to ask for the password: give it with --password-file FILE, or - for standard input";
        return Err(Failure::error(ExitKind::Usage, sentence));
    }
    rpassword::prompt_password(prompt)
        .map_err(|error| Failure::error(ExitKind::Unavailable, format!("can't ask for the password: {error}")))
}

fn first_line(file: &Path) -> anyhow::Result<String> {
    let failed = |error: std::io::Error| {
        Failure::error(
            ExitKind::Unavailable,
            format!("can't read the password from {}: {error}", file.display()),
        )
    };
    let mut line = String::new();
    if file == Path::new("-") {
        std::io::stdin().lock().read_line(&mut line).map_err(failed)?;
    } else {
        let file = std::fs::File::open(file).map_err(failed)?;
        std::io::BufReader::new(file).read_line(&mut line).map_err(failed)?;
    }
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

fn failure(error: &CertsError) -> anyhow::Error {
    use std::io::ErrorKind;
    let kind = match error {
        CertsError::Read { source, .. } | CertsError::Write { source, .. }
            if source.kind() == ErrorKind::PermissionDenied =>
        {
            ExitKind::NotPermitted
        }
        CertsError::WrongPassword { .. } | CertsError::Enrolment { .. } | CertsError::Forbidden { .. } => {
            ExitKind::NotPermitted
        }
        CertsError::Read { .. }
        | CertsError::Write { .. }
        | CertsError::Exists { .. }
        | CertsError::Network { .. }
        | CertsError::Crypto { .. } => ExitKind::Unavailable,
        CertsError::PasswordLength { .. }
        | CertsError::Days(_)
        | CertsError::RequestWithoutRole { .. }
        | CertsError::RequestOfAuthority { .. }
        | CertsError::PathLengthTooLong { .. }
        | CertsError::NameAbove(_) => ExitKind::Usage,
        _ => ExitKind::BadData,
    };
    Failure::error(kind, error.to_string())
}
