//! What can go wrong with files, keys and requests; what can be wrong with a peer is in [`crate::CertificateProblem`].

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::role::{BadSubjectName, Role, SubjectName};

/// A failure of the certificate tools, as a sentence that names the file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CertsError {
    /// A file can't be read.
    #[error("can't read {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file can't be written.
    #[error("can't write {path}: {source}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is there that must not be replaced.
    #[error("{path} exists and is not replaced", path = path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A file holds something else.
    #[error("{path}: expected {expected}, {found}", path = path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What belongs there.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// There is a certificate but no private key, neither in the file nor beside it.
    #[error("no private key in {path} and none in {sibling}", path = path.display(), sibling = sibling.display())]
    KeyMissing {
        /// The file that was named.
        path: PathBuf,
        /// Where the key was looked for, too.
        sibling: PathBuf,
    },
    /// None of the certificates belongs to the key.
    #[error("none of the {certificates} certificates in {path} belongs to the private key", path = path.display())]
    KeyMismatch {
        /// The file that was named.
        path: PathBuf,
        /// How many certificates it holds.
        certificates: usize,
    },
    /// Others than its owner may read a private key.
    #[error("the private key in {path} can be read by other users: it is not used until `chmod 600 {path}`", path = path.display())]
    Exposed {
        /// The key's file.
        path: PathBuf,
    },
    /// Everybody may change what must be relied on.
    #[error("{path} can be changed by every user of this machine: it is not relied on until `chmod o-w {path}`", path = path.display())]
    Changeable {
        /// The file or folder.
        path: PathBuf,
    },
    /// The key is encrypted and no password was given.
    #[error("the private key in {path} is encrypted: its password is needed", path = path.display())]
    PasswordNeeded {
        /// The key's file.
        path: PathBuf,
    },
    /// The password doesn't open the key.
    #[error("wrong password for the private key in {path}", path = path.display())]
    WrongPassword {
        /// The key's file.
        path: PathBuf,
    },
    /// A new password is too short or too long.
    #[error("expected a password of 8 to 1023 characters, found {characters}")]
    PasswordLength {
        /// Its length in characters.
        characters: usize,
    },
    /// A certificate request isn't signed with its own key, or can't be read.
    #[error("{path}: not a certificate request that can be signed: {problem}", path = path.display())]
    Request {
        /// The request's file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A request asks for another role than the operator wants to grant.
    #[error("{from} asks for role {requested}, but role {wanted} was to be granted")]
    RequestRole {
        /// The request's file, or who sent it.
        from: String,
        /// The role in the request.
        requested: Role,
        /// The role on the command line.
        wanted: Role,
    },
    /// Neither request nor operator says which role.
    #[error("{from} names no role: say which one to grant with --role")]
    RequestWithoutRole {
        /// The request's file, or who sent it.
        from: String,
    },
    /// A request asks for something else that isn't to be granted.
    #[error("{from} asks for {problem}")]
    Grant {
        /// The request's file, or who sent it.
        from: String,
        /// For what.
        problem: String,
    },
    /// The authority's policy doesn't allow it.
    #[error("{from} asks for {asked}, but `{rule}` in {policy} allows {allowed}", policy = policy.display())]
    Forbidden {
        /// The request's file, or who sent it.
        from: String,
        /// For what it asks.
        asked: String,
        /// The rule that refuses it.
        rule: &'static str,
        /// The policy's file.
        policy: PathBuf,
        /// What the rule allows.
        allowed: String,
    },
    /// An authority's certificate allows no authority below it.
    #[error("the authority in {path} may have no authority below it (its path length is 0)", path = .0.display())]
    PathLength(PathBuf),
    /// More authorities were to be allowed below one than the one above allows.
    #[error("expected a path length of at most {most}, which is what the authority above allows, found {asked}")]
    PathLengthTooLong {
        /// What was to be granted.
        asked: u8,
        /// What may be.
        most: u8,
    },
    /// An authority was to have the name of one above it.
    #[error("an authority named {0} stands above already: the new one needs a name of its own")]
    NameAbove(SubjectName),
    /// A request for the rights of an authority was to be signed as a holder's.
    #[error(
        "{from} asks for the rights of an authority: with --intermediate it gets them, with --role a holder's certificate without them"
    )]
    RequestOfAuthority {
        /// The request's file, or who sent it.
        from: String,
    },
    /// A name can't stand in a certificate.
    #[error(transparent)]
    Name(#[from] BadSubjectName),
    /// A host name or address can't stand in a certificate.
    #[error("expected a host name or an IP address, found \"{0}\"")]
    Host(String),
    /// A validity can't be granted.
    #[error("expected a validity of 1 to 36500 days, found {0}")]
    Days(u32),
    /// A certificate to revoke can't be found.
    #[error("no certificate \"{0}\": expected a certificate file or a serial number that this authority issued")]
    UnknownCertificate(String),
    /// The local certificate has a role that can't be used for this.
    #[error("{path} has role {found}; {purpose} needs role {needed}", path = path.display())]
    Role {
        /// The certificate's file.
        path: PathBuf,
        /// Its role.
        found: Role,
        /// What it was to be used for.
        purpose: &'static str,
        /// The role that is needed.
        needed: Role,
    },
    /// Another machine can't be reached, or an address can't be listened on.
    #[error("{address}: {source}")]
    Network {
        /// Host and port.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The enrolment service refused.
    #[error("{server}: {why}")]
    Enrolment {
        /// Host and port.
        server: String,
        /// Why.
        why: String,
    },
    /// A cryptographic operation failed.
    #[error("{operation} failed: {problem}")]
    Crypto {
        /// What was tried.
        operation: &'static str,
        /// What the library said.
        problem: String,
    },
}

impl CertsError {
    pub(crate) fn crypto(operation: &'static str) -> impl Fn(String) -> Self {
        move |problem| Self::Crypto { operation, problem }
    }
}
