//! `silentmon auth`: who may sign in by password, and whose name is locked after failed sign-ins.
//!
//! Users are in a file on the capture server; what is locked is known to the running server, which an administrator asks
//! with his certificate.

#[cfg(feature = "playback")]
mod locks;
#[cfg(feature = "capture")]
mod users;

use std::process::ExitCode;

use clap::{Args, Subcommand};

/// Arguments of `auth`.
#[derive(Debug, Args)]
pub struct AuthArgs {
    #[command(subcommand)]
    command: AuthCommand,
}

#[derive(Debug, Subcommand)]
enum AuthCommand {
    /// Adds somebody who may sign in by password.
    #[cfg(feature = "capture")]
    Add(users::AddArgs),
    /// Gives a user another password; sessions begun with the old one end.
    #[cfg(feature = "capture")]
    Password(users::PasswordArgs),
    /// Removes a user; his sessions in browsers end.
    #[cfg(feature = "capture")]
    Remove(users::RemoveArgs),
    /// Lists users and their roles.
    #[cfg(feature = "capture")]
    Users(users::UsersArgs),
    /// Lists names that are locked after failed sign-ins. Needs an administrator's certificate.
    #[cfg(feature = "playback")]
    List(locks::ListArgs),
    /// Unlocks a name. Needs an administrator's certificate.
    #[cfg(feature = "playback")]
    Unlock(locks::UnlockArgs),
}

/// Does it.
///
/// # Errors
/// `Usage` for a name or password that can't be used, `NotPermitted` without the rights, `BadConfig` for a file that is
/// none of users, `Unavailable` where no server answers.
pub fn run(args: &AuthArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        #[cfg(feature = "capture")]
        AuthCommand::Add(args) => users::add(args),
        #[cfg(feature = "capture")]
        AuthCommand::Password(args) => users::change_password(args),
        #[cfg(feature = "capture")]
        AuthCommand::Remove(args) => users::remove(args),
        #[cfg(feature = "capture")]
        AuthCommand::Users(args) => users::list(args),
        #[cfg(feature = "playback")]
        AuthCommand::List(args) => locks::list(args),
        #[cfg(feature = "playback")]
        AuthCommand::Unlock(args) => locks::unlock(args),
    }
}
