//! `silentmon certs`: a certificate authority, requests, signing and revocation, for those who have no other.

use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;
use silentmon_certs::{
    AuthorityOptions, CertificateAuthority, CertificateSummary, CertsError, Identity, Password, RenewedKey,
    RequestOptions, RequestSummary, SignOptions, SubjectHost, SubjectName, create_renewal, create_request, inspect,
};
use time::OffsetDateTime;

pub use silentmon_certs::Role;

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
    /// Makes a certificate authority: ca.pem, ca.key (encrypted) and crl.pem.
    InitCa(InitCaArgs),
    /// Makes a key and a request for its certificate, where the certificate will be used.
    Request(RequestArgs),
    /// Makes a request for a certificate like one that is in use, to be signed before that expires.
    Renew(RenewArgs),
    /// Signs a request: the certificate with its chain.
    Sign(SignArgs),
    /// Takes a certificate back: writes the authority's crl.pem.
    Revoke(RevokeArgs),
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

#[derive(Debug, Args)]
struct InitCaArgs {
    /// Directory of the authority.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Its name [default: "silentmon CA" and four random digits].
    #[arg(long, value_name = "TEXT")]
    name: Option<SubjectName>,
    /// How long it is good.
    #[arg(long, value_name = "N", default_value_t = AuthorityOptions::DEFAULT_DAYS, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
    #[command(flatten)]
    password: PasswordArgs,
}

#[derive(Debug, Args)]
struct RequestArgs {
    /// What the holder may be: capture, supervisor or admin.
    #[arg(long)]
    role: Role,
    /// The holder's name; also that of the files.
    #[arg(long)]
    name: SubjectName,
    /// Host name or IP address under which others dial the holder; may be given several times.
    #[arg(long = "san", value_name = "HOST_OR_IP", value_delimiter = ',')]
    hosts: Vec<SubjectHost>,
    /// Directory of NAME.key and NAME.csr.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

#[derive(Debug, Args)]
struct RenewArgs {
    /// The certificate in use, its key in the same file or beside it.
    #[arg(value_name = "FILE")]
    identity: PathBuf,
    /// Makes a new key, too: NAME.key. Without it the key stays, and only the certificate's file has to be replaced.
    #[arg(long)]
    new_key: bool,
    /// Directory of NAME.csr; with --new-key another one than that of the key in use.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

#[derive(Debug, Args)]
struct SignArgs {
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
    /// The certificate.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    password: PasswordArgs,
}

#[derive(Debug, Args)]
struct RevokeArgs {
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
struct ListArgs {
    /// Directory of the authority.
    #[arg(long, value_name = "DIR")]
    ca: PathBuf,
    /// One JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct InspectArgs {
    /// A PEM file of certificates or requests.
    file: PathBuf,
    /// One JSON document.
    #[arg(long)]
    json: bool,
}

/// Does what is asked of certificates.
///
/// # Errors
/// `BadData` where a file isn't what it should be, `NotPermitted` for a wrong password or missing rights,
/// `Unavailable` where a file can't be read or written, `Usage` for a password that is too short.
pub fn run(args: CertsArgs) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::InitCa(args) => init_ca(args),
        Action::Request(args) => request(args),
        Action::Renew(args) => renew(&args),
        Action::Sign(args) => sign(&args),
        Action::Revoke(args) => revoke(&args),
        Action::List(args) => list(&args),
        Action::Inspect(args) => show(&args),
    }
}

fn init_ca(args: InitCaArgs) -> anyhow::Result<ExitCode> {
    let password = Password::chosen(args.password.new_password()?).map_err(|error| failure(&error))?;
    let name = match args.name {
        Some(name) => name,
        None => default_name()?,
    };
    let options = AuthorityOptions { name, days: args.days };
    CertificateAuthority::create(&args.out, &options, &password).map_err(|error| failure(&error))?;
    output::line(&format!("authority \"{}\" in {}", options.name, args.out.display()));
    output::line("  ca.pem   its certificate: give it to every server and every supervisor");
    output::line("  ca.key   its key, encrypted: keep it here and keep a copy in a safe");
    output::line("  crl.pem  its revocation list, empty: give it to every server and every supervisor");
    Ok(ExitCode::SUCCESS)
}

/// Two authorities of one name can hardly be told apart, so each gets digits of its own.
fn default_name() -> anyhow::Result<SubjectName> {
    let digits = random()? & 0xffff;
    Ok(SubjectName::new(format!("silentmon CA {digits:04x}"))?)
}

fn random() -> anyhow::Result<u64> {
    getrandom::u64().map_err(|error| Failure::error(ExitKind::Unavailable, format!("no random numbers: {error}")))
}

fn request(args: RequestArgs) -> anyhow::Result<ExitCode> {
    if args.role == Role::Capture && args.hosts.is_empty() {
        let sentence = "a capture server needs --san: the host names and addresses under which supervisors dial it";
        return Err(Failure::error(ExitKind::Usage, sentence));
    }
    let options = RequestOptions {
        role: args.role,
        name: args.name,
        hosts: args.hosts,
    };
    let (key, csr) = create_request(&args.out, &options).map_err(|error| failure(&error))?;
    output::line(&format!("{}  private key: stays on this machine", key.display()));
    output::line(&format!("{}  request: to be signed by the authority", csr.display()));
    Ok(ExitCode::SUCCESS)
}

fn renew(args: &RenewArgs) -> anyhow::Result<ExitCode> {
    let key = if args.new_key {
        RenewedKey::New
    } else {
        RenewedKey::Same
    };
    let (key, csr) = create_renewal(&args.identity, key, &args.out).map_err(|error| failure(&error))?;
    if let Some(key) = key {
        output::line(&format!("{}  new private key: stays on this machine", key.display()));
    }
    output::line(&format!("{}  request: to be signed by the authority", csr.display()));
    Ok(ExitCode::SUCCESS)
}

fn sign(args: &SignArgs) -> anyhow::Result<ExitCode> {
    let authority = args.password.open(&args.ca)?;
    let options = SignOptions {
        days: args.days,
        role: args.role,
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

fn revoke(args: &RevokeArgs) -> anyhow::Result<ExitCode> {
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

fn list(args: &ListArgs) -> anyhow::Result<ExitCode> {
    let rows = CertificateAuthority::list(&args.ca).map_err(|error| failure(&error))?;
    let now = OffsetDateTime::now_utc();
    if args.json {
        let rows: Vec<_> = rows
            .iter()
            .map(|(who, revoked)| json!({"certificate": who, "state": state(who, *revoked, now)}))
            .collect();
        output::json(&rows)?;
        return Ok(ExitCode::SUCCESS);
    }
    for (who, revoked) in rows {
        output::line(&format!("{:<8} {}", state(&who, revoked, now), describe(&who)));
    }
    Ok(ExitCode::SUCCESS)
}

fn state(who: &Identity, revoked: Option<OffsetDateTime>, now: OffsetDateTime) -> &'static str {
    match revoked {
        Some(_) => "revoked",
        None if who.not_after < now => "expired",
        None => "valid",
    }
}

fn describe(who: &Identity) -> String {
    let hosts = if who.hosts.is_empty() {
        String::new()
    } else {
        format!(" for {}", who.hosts.join(", "))
    };
    format!(
        "{} {}{hosts}, until {}, serial {}",
        who.role,
        who.name,
        who.not_after.date(),
        who.serial
    )
}

fn show(args: &InspectArgs) -> anyhow::Result<ExitCode> {
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
        "  validity     {from} to {to} ({})",
        validity(certificate, now)
    ));
    output::line(&format!("  issuer       {}", certificate.issuer));
    output::line(&format!("  serial       {}", certificate.serial));
    output::line(&format!("  fingerprint  {}", certificate.fingerprint));
}

fn show_request(request: &RequestSummary) {
    let role = request.role.map_or("no role", Role::name);
    let name = request.name.as_ref().map_or("without a name", SubjectName::as_str);
    output::line(&format!("request: {role} {name}"));
    if !request.hosts.is_empty() {
        output::line(&format!("  hosts        {}", request.hosts.join(", ")));
    }
    for ignored in &request.ignored {
        output::line(&format!("  not granted  {ignored}"));
    }
}

impl PasswordArgs {
    fn open(&self, directory: &Path) -> anyhow::Result<CertificateAuthority> {
        let text = match &self.password_file {
            Some(file) => first_line(file)?,
            None => ask("Password of the authority: ")?,
        };
        CertificateAuthority::open(directory, &Password::existing(text)).map_err(|error| failure(&error))
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
        CertsError::WrongPassword { .. } => ExitKind::NotPermitted,
        CertsError::Read { .. } | CertsError::Write { .. } | CertsError::Exists { .. } | CertsError::Crypto { .. } => {
            ExitKind::Unavailable
        }
        CertsError::PasswordLength { .. } | CertsError::Days(_) | CertsError::RequestWithoutRole { .. } => {
            ExitKind::Usage
        }
        _ => ExitKind::BadData,
    };
    Failure::error(kind, error.to_string())
}

/// Validity of certificates that are thrown away: just beyond the warning of certificates that expire soon.
#[cfg(all(feature = "capture", feature = "playback", feature = "simulate"))]
const THROW_AWAY_DAYS: u32 = 40;

/// An authority for a demonstration or a test: its password is random and forgotten.
#[cfg(all(feature = "capture", feature = "playback", feature = "simulate"))]
pub struct ThrowAwayCa {
    authority: CertificateAuthority,
    directory: PathBuf,
}

#[cfg(all(feature = "capture", feature = "playback", feature = "simulate"))]
impl ThrowAwayCa {
    /// Makes ca.pem, ca.key and crl.pem in `directory`.
    ///
    /// # Errors
    /// Where a file can't be written.
    pub fn make(directory: &Path) -> anyhow::Result<Self> {
        let options = AuthorityOptions {
            name: default_name()?,
            days: THROW_AWAY_DAYS,
        };
        let password = Password::existing(format!("{:016x}{:016x}", random()?, random()?));
        let authority =
            CertificateAuthority::create(directory, &options, &password).map_err(|error| failure(&error))?;
        Ok(Self {
            authority,
            directory: directory.to_owned(),
        })
    }

    /// Makes NAME.key and NAME.pem beside the authority.
    ///
    /// # Errors
    /// Where name or host can't stand in a certificate, or a file can't be written.
    pub fn issue(&self, role: Role, name: &str, hosts: &[&str]) -> anyhow::Result<()> {
        let hosts = hosts
            .iter()
            .map(|host| host.parse())
            .collect::<Result<Vec<SubjectHost>, _>>();
        let request = RequestOptions {
            role,
            name: SubjectName::new(name)?,
            hosts: hosts.map_err(|error| failure(&error))?,
        };
        let options = SignOptions {
            days: THROW_AWAY_DAYS,
            role: None,
        };
        self.authority
            .issue(&self.directory, &request, &options)
            .map_err(|error| failure(&error))?;
        Ok(())
    }
}
