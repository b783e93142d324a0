//! An authority for a demonstration or a test.

use std::path::{Path, PathBuf};

use silentmon_certs::{
    AuthorityOptions, CertificateAuthority, KeyAlgorithm, Password, RequestOptions, SignOptions, SubjectHost,
    SubjectName,
};

use super::{Role, default_name, failure, random};

/// Validity of certificates that are thrown away: just beyond the warning of certificates that expire soon.
const THROW_AWAY_DAYS: u32 = 40;

/// An authority for a demonstration or a test: its password is random and forgotten.
pub struct ThrowAwayCa {
    authority: CertificateAuthority,
    directory: PathBuf,
}

impl ThrowAwayCa {
    /// Makes ca.pem, ca.key and crl.pem in `directory`.
    ///
    /// # Errors
    /// Where a file can't be written.
    pub fn make(directory: &Path) -> anyhow::Result<Self> {
        let options = AuthorityOptions {
            name: default_name()?,
            days: THROW_AWAY_DAYS,
            algorithm: KeyAlgorithm::default(),
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
            days: Some(THROW_AWAY_DAYS),
            ..SignOptions::default()
        };
        self.authority
            .issue(&self.directory, &request, &options)
            .map_err(|error| failure(&error))?;
        Ok(())
    }
}
