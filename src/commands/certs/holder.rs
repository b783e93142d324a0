//! What is done where a certificate will be used: asking for it, renewing it, taking over what other tools made.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use silentmon_certs::{
    Password, RenewedKey, RequestOptions, SubjectHost, SubjectName, create_renewal, create_request, import as take_over,
};
use time::OffsetDateTime;

use super::show::describe_holder;
use super::{Role, failure, first_line};
use crate::exit::{ExitKind, Failure};
use crate::output;

#[derive(Debug, Args)]
pub(super) struct RequestArgs {
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
pub(super) struct RenewArgs {
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
pub(super) struct ImportArgs {
    /// Files with keys, certificates and revocation lists, or folders of them (*.pem, *.crt, *.cer, *.key, *.crl).
    #[arg(value_name = "FILE_OR_DIR", required = true)]
    sources: Vec<PathBuf>,
    /// Directory of NAME.pem, NAME.key, ca.pem and crl.pem.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Name of the files where a certificate has no silentmon name [default: its common name].
    #[arg(long)]
    name: Option<SubjectName>,
    /// File whose first line is the password of encrypted keys; they are written unencrypted, for their owner only.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

pub(super) fn import(args: &ImportArgs) -> anyhow::Result<ExitCode> {
    let password = args.password_file.as_deref().map(first_line).transpose()?;
    let password = password.map(Password::existing);
    let imported =
        take_over(&args.sources, &args.out, args.name.as_ref(), password.as_ref()).map_err(|error| failure(&error))?;
    let now = OffsetDateTime::now_utc();
    for (path, who) in &imported.identities {
        output::line(&format!("{}  {}", path.display(), describe_holder(who, now)));
    }
    if let Some(path) = &imported.authorities {
        output::line(&format!("{}  the authorities that are trusted", path.display()));
    }
    if let Some(path) = &imported.revocation_lists {
        output::line(&format!("{}  revocation lists", path.display()));
    }
    for missing in &imported.missing {
        output::complain(&format!("missing: {missing}"));
    }
    if imported.identities.is_empty() {
        let sentence = "no private key with its certificate was found";
        return Err(Failure::error(ExitKind::BadData, sentence));
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn request(args: RequestArgs) -> anyhow::Result<ExitCode> {
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

pub(super) fn renew(args: &RenewArgs) -> anyhow::Result<ExitCode> {
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
