//! The file of users. The running server reads it again by itself.

use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::json;
use silentmon_capture_core::policy::Role;
use silentmon_proto::ids::SupervisorName;

use crate::exit::{ExitKind, Failure};
use crate::output;
use crate::users::{LONGEST_NAME, LONGEST_PASSWORD, PasswordHash, SHORTEST_PASSWORD, User, UserFile};

/// Where the users are.
#[derive(Debug, Args)]
struct FileArgs {
    /// The file of users, as service.users of the server's configuration names it.
    #[arg(long = "users", value_name = "FILE")]
    path: PathBuf,
}

/// Where the password comes from.
#[derive(Debug, Args)]
struct SecretArgs {
    /// File whose first line is the password; - for standard input. Without it the terminal is asked.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

/// Arguments of `auth add`.
#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// The name he signs in with; teams and supervisors of the configuration mean the same name.
    name: String,
    /// What he may be.
    #[arg(long, value_enum)]
    role: RoleName,
    #[command(flatten)]
    file: FileArgs,
    #[command(flatten)]
    secret: SecretArgs,
}

/// Arguments of `auth password`.
#[derive(Debug, Args)]
pub(super) struct PasswordArgs {
    /// His name.
    name: String,
    #[command(flatten)]
    file: FileArgs,
    #[command(flatten)]
    secret: SecretArgs,
}

/// Arguments of `auth remove`.
#[derive(Debug, Args)]
pub(super) struct RemoveArgs {
    /// His name.
    name: String,
    #[command(flatten)]
    file: FileArgs,
}

/// Arguments of `auth users`.
#[derive(Debug, Args)]
pub(super) struct UsersArgs {
    #[command(flatten)]
    file: FileArgs,
    /// JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RoleName {
    /// Hears the agents of his own teams.
    Supervisor,
    /// Hears the teams of policy.quality_teams.
    Quality,
    /// Sees how things stand.
    Administrator,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Supervisor => Self::Supervisor,
            RoleName::Quality => Self::Quality,
            RoleName::Administrator => Self::Administrator,
        }
    }
}

pub(super) fn add(args: &AddArgs) -> anyhow::Result<ExitCode> {
    let name = name(&args.name)?;
    let mut file = UserFile::read(&args.file.path)?;
    if file.user(&name).is_some() {
        let what = format!("there is a user {name} already; `auth password` gives him another password");
        return Err(Failure::error(ExitKind::Usage, what));
    }
    let password = args.secret.hash()?;
    let role = args.role.into();
    file.put(User {
        name: name.clone(),
        role,
        password,
    });
    file.write(&args.file.path)?;
    output::line(&format!("{name} may sign in as {role}"));
    Ok(ExitCode::SUCCESS)
}

pub(super) fn change_password(args: &PasswordArgs) -> anyhow::Result<ExitCode> {
    let name = name(&args.name)?;
    let mut file = UserFile::read(&args.file.path)?;
    let role = file.user(&name).ok_or_else(|| nobody(&name))?.role;
    let password = args.secret.hash()?;
    file.put(User {
        name: name.clone(),
        role,
        password,
    });
    file.write(&args.file.path)?;
    output::line(&format!("{name} has another password"));
    Ok(ExitCode::SUCCESS)
}

pub(super) fn remove(args: &RemoveArgs) -> anyhow::Result<ExitCode> {
    let name = name(&args.name)?;
    let mut file = UserFile::read(&args.file.path)?;
    if !file.remove(&name) {
        return Err(nobody(&name));
    }
    file.write(&args.file.path)?;
    output::line(&format!("{name} can sign in no longer"));
    Ok(ExitCode::SUCCESS)
}

pub(super) fn list(args: &UsersArgs) -> anyhow::Result<ExitCode> {
    let file = UserFile::read(&args.file.path)?;
    if args.json {
        let users = file.users().iter();
        let users: Vec<_> = users
            .map(|user| json!({ "name": user.name, "role": user.role }))
            .collect();
        output::json(&users)?;
    } else {
        for user in file.users() {
            output::line(&format!("{:<20} {}", user.name, user.role));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn nobody(name: &SupervisorName) -> anyhow::Error {
    Failure::error(ExitKind::Usage, format!("there is no user {name}"))
}

fn name(text: &str) -> anyhow::Result<SupervisorName> {
    let length = text.chars().count();
    let good = (1..=LONGEST_NAME).contains(&length) && text.trim() == text && !text.contains(char::is_control);
    if good {
        return Ok(SupervisorName::new(text));
    }
    let what = format!("expected a name of 1 to {LONGEST_NAME} characters without space around it, found {text:?}");
    Err(Failure::error(ExitKind::Usage, what))
}

impl SecretArgs {
    fn hash(&self) -> anyhow::Result<PasswordHash> {
        let password = match &self.password_file {
            Some(file) => first_line(file)?,
            None => ask()?,
        };
        if password.chars().count() < SHORTEST_PASSWORD || password.len() > LONGEST_PASSWORD {
            let what = format!("expected a password of {SHORTEST_PASSWORD} characters to {LONGEST_PASSWORD} bytes");
            return Err(Failure::error(ExitKind::Usage, what));
        }
        PasswordHash::of(&password)
    }
}

fn ask() -> anyhow::Result<String> {
    if !std::io::stdin().is_terminal() {
        let what = "no terminal to ask for the password: give it with --password-file FILE, or - for standard input";
        return Err(Failure::error(ExitKind::Usage, what));
    }
    let prompt = |text: &str| {
        rpassword::prompt_password(text)
            .map_err(|error| Failure::error(ExitKind::Unavailable, format!("can't ask for the password: {error}")))
    };
    let password = prompt("Password (at least 8 characters): ")?;
    if prompt("Once more: ")? == password {
        Ok(password)
    } else {
        Err(Failure::error(ExitKind::Usage, "the two passwords differ"))
    }
}

fn first_line(file: &Path) -> anyhow::Result<String> {
    let mut line = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().lock().read_line(&mut line)
    } else {
        std::fs::File::open(file).and_then(|file| std::io::BufReader::new(file).read_line(&mut line))
    };
    read.map_err(|error| {
        let what = format!("can't read the password from {}: {error}", file.display());
        Failure::error(ExitKind::Unavailable, what)
    })?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}
