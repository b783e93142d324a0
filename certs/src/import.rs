//! Keys and certificates that other tools made, put into this program's layout: `NAME.pem` with the chain, `NAME.key`,
//! `ca.pem`, `crl.pem`.
//!
//! What a file holds counts, not what it is called; so the documented tools' names (`CtiosRootCert.pem`,
//! `CtiosServerKey.pem`, …) are good in any case, and keys and certificates may come in any order.

use std::path::{Path, PathBuf};

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::SigningKey;

use crate::Password;
use crate::credentials::{chain_from, public_key_of};
use crate::error::CertsError;
use crate::files::{self, Existing, Readers};
use crate::inspect::{CertificateSummary, summarise};
use crate::pem::{Sections, encode};
use crate::role::SubjectName;
use crate::tls::provider;

/// Ends of names of files that a folder is searched for.
const EXTENSIONS: [&str; 5] = ["pem", "crt", "cer", "key", "crl"];

/// What became of foreign files.
#[derive(Debug, Default)]
pub struct Import {
    /// Identities that were written: the file of the chain, and whose it is.
    pub identities: Vec<(PathBuf, CertificateSummary)>,
    /// The authorities' file, where there are any.
    pub authorities: Option<PathBuf>,
    /// The revocation lists' file, where there are any.
    pub revocation_lists: Option<PathBuf>,
    /// What is missing or can't be used, one sentence each.
    pub missing: Vec<String>,
}

/// Reads `sources`, files or folders of them, and writes what belongs together into `directory`. `name` is that of the
/// files where a certificate has no silentmon name; `password` opens encrypted keys, which are written unencrypted, as
/// a service has nobody to ask.
///
/// # Errors
/// Where a file can't be read, a key can't be opened, or something would be replaced.
pub fn import(
    sources: &[PathBuf],
    directory: &Path,
    name: Option<&SubjectName>,
    password: Option<&Password>,
) -> Result<Import, CertsError> {
    let material = Material::read(sources, password)?;
    let mut import = Import::default();
    files::create_directory(directory)?;
    for key in &material.keys {
        material.import_key(key, directory, name, &mut import)?;
    }
    material.complain_of_lonely_certificates(&mut import);
    import.authorities = material.write_authorities(directory)?;
    if import.authorities.is_none() {
        let sentence = "no root certificate: without it nobody can be trusted";
        import.missing.push(sentence.to_owned());
    }
    import.revocation_lists = material.write_lists(directory)?;
    Ok(import)
}

struct FoundKey {
    path: PathBuf,
    der: PrivateKeyDer<'static>,
    public: Vec<u8>,
}

#[derive(Default)]
struct Material {
    certificates: Vec<(PathBuf, CertificateDer<'static>, CertificateSummary)>,
    keys: Vec<FoundKey>,
    lists: Vec<CertificateRevocationListDer<'static>>,
}

impl Material {
    fn read(sources: &[PathBuf], password: Option<&Password>) -> Result<Self, CertsError> {
        let mut material = Self::default();
        for path in expand(sources)? {
            material.take(&path, password)?;
        }
        Ok(material)
    }

    fn take(&mut self, path: &Path, password: Option<&Password>) -> Result<(), CertsError> {
        let damaged = |found: String| CertsError::Content {
            path: path.to_owned(),
            expected: "certificates and keys",
            found,
        };
        let sections = Sections::read(path)?;
        for der in sections.certificates {
            if !self.certificates.iter().any(|(_, known, _)| *known == der) {
                let summary = summarise(&der).map_err(damaged)?;
                self.certificates.push((path.to_owned(), der, summary));
            }
        }
        for section in sections.keys {
            let der = section.open(path, password)?;
            let signing = provider().key_provider.load_private_key(der.clone_key());
            let public = signing.ok().and_then(|key| public_key(key.as_ref()));
            let public = public.ok_or_else(|| damaged("found a key of an unknown kind".to_owned()))?;
            if !self.keys.iter().any(|known| known.public == public) {
                let path = path.to_owned();
                self.keys.push(FoundKey { path, der, public });
            }
        }
        self.lists.extend(sections.revocation_lists);
        Ok(())
    }

    fn import_key(
        &self,
        key: &FoundKey,
        directory: &Path,
        name: Option<&SubjectName>,
        import: &mut Import,
    ) -> Result<(), CertsError> {
        let own = |(_, der, _): &&(PathBuf, CertificateDer<'static>, CertificateSummary)| {
            public_key_of(der) == Some(key.public.as_slice())
        };
        let file = key.path.display();
        let Some((_, leaf, summary)) = self.certificates.iter().find(own) else {
            import
                .missing
                .push(format!("no certificate for the private key in {file}"));
            return Ok(());
        };
        if summary.authority {
            let sentence = format!("{file} holds the private key of an authority: it was left where it is");
            import.missing.push(sentence);
            return Ok(());
        }
        let all: Vec<_> = self.certificates.iter().map(|(_, der, _)| der.clone()).collect();
        let chain = chain_from(leaf, &all);
        self.complain_of_gap(&chain, import);
        if summary.role.is_none() {
            import.missing.push(format!(
                "the certificate of {} has no silentmon role: good for `identity` of a CTI source, not for a server or a \
                 supervisor",
                summary.subject
            ));
        }
        let stem = file_name(summary, name, &key.path);
        let (certificate_path, key_path) = (
            directory.join(format!("{stem}.pem")),
            directory.join(format!("{stem}.key")),
        );
        files::write(&key_path, key_pem(&key.der)?.as_bytes(), Readers::Owner, Existing::Kept)?;
        write_certificates(&certificate_path, &chain)?;
        import.identities.push((certificate_path, summary.clone()));
        Ok(())
    }

    /// The last certificate of a chain must be a root's child.
    fn complain_of_gap(&self, chain: &[CertificateDer<'static>], import: &mut Import) {
        let Some(top) = chain.last().and_then(|der| summarise(der).ok()) else {
            return;
        };
        let has_issuer = self
            .certificates
            .iter()
            .any(|(_, _, other)| other.subject == top.issuer);
        if !has_issuer {
            import.missing.push(format!(
                "the certificate of {}, who issued that of {}",
                top.issuer, top.subject
            ));
        }
    }

    fn complain_of_lonely_certificates(&self, import: &mut Import) {
        for (path, der, summary) in &self.certificates {
            let has_key = self
                .keys
                .iter()
                .any(|key| public_key_of(der) == Some(key.public.as_slice()));
            if !summary.authority && !has_key {
                let sentence = format!(
                    "no private key for the certificate of {} in {}",
                    summary.subject,
                    path.display()
                );
                import.missing.push(sentence);
            }
        }
    }

    fn write_authorities(&self, directory: &Path) -> Result<Option<PathBuf>, CertsError> {
        let roots = self
            .certificates
            .iter()
            .filter(|(_, _, found)| found.authority && found.subject == found.issuer);
        let roots: Vec<_> = roots.map(|(_, der, _)| der.clone()).collect();
        if roots.is_empty() {
            return Ok(None);
        }
        let path = directory.join("ca.pem");
        write_certificates(&path, &roots)?;
        Ok(Some(path))
    }

    fn write_lists(&self, directory: &Path) -> Result<Option<PathBuf>, CertsError> {
        if self.lists.is_empty() {
            return Ok(None);
        }
        let text: Result<String, _> = self.lists.iter().map(|list| encode("X509 CRL", list)).collect();
        let path = directory.join("crl.pem");
        files::write(&path, text?.as_bytes(), Readers::All, Existing::Kept)?;
        Ok(Some(path))
    }
}

/// Folders give the files in them that look like certificates by their names.
fn expand(sources: &[PathBuf]) -> Result<Vec<PathBuf>, CertsError> {
    let mut found = Vec::new();
    for source in sources {
        if !source.is_dir() {
            found.push(source.clone());
            continue;
        }
        let entries = std::fs::read_dir(source).map_err(|error| CertsError::Read {
            path: source.clone(),
            source: error,
        })?;
        let mut files: Vec<_> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| looks_right(path))
            .collect();
        files.sort();
        found.append(&mut files);
    }
    Ok(found)
}

fn looks_right(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    path.is_file() && extension.is_some_and(|found| EXTENSIONS.iter().any(|known| found.eq_ignore_ascii_case(known)))
}

fn public_key(key: &dyn SigningKey) -> Option<Vec<u8>> {
    key.public_key().map(|public| public.as_ref().to_vec())
}

/// The silentmon name, else the one that was given, else the common name, else the key file's.
fn file_name(summary: &CertificateSummary, given: Option<&SubjectName>, key: &Path) -> String {
    let known = summary.name.as_ref().or(given).map(|name| name.as_str().to_owned());
    let stem = || key.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    known
        .or_else(|| summary.common_name.as_ref().map(|name| name.as_str().to_owned()))
        .unwrap_or_else(stem)
}

fn key_pem(der: &PrivateKeyDer<'_>) -> Result<zeroize::Zeroizing<String>, CertsError> {
    let label = match der {
        PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
        PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
        _ => "PRIVATE KEY",
    };
    encode(label, der.secret_der()).map(zeroize::Zeroizing::new)
}

fn write_certificates(path: &Path, certificates: &[CertificateDer<'_>]) -> Result<(), CertsError> {
    let text: Result<String, _> = certificates.iter().map(|der| encode("CERTIFICATE", der)).collect();
    files::write(path, text?.as_bytes(), Readers::All, Existing::Kept)
}
