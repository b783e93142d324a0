//! Authorities, certificates and revocation lists with every flaw that a certificate can have. Nothing of the product makes
//! them, as it makes no bad ones.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
};
use time::{Duration, OffsetDateTime};

/// What is wrong with a certificate, or with the lists of whoever looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    None,
    Expired,
    NotYetValid,
    WrongAuthority,
    WrongRole,
    Revoked,
    IssuerRevoked,
    StaleList,
    MissingList,
    WrongName,
    SelfSigned,
    /// Good for some seconds.
    SoonOver,
}

impl Flaw {
    pub const ALL: [Self; 11] = [
        Self::None,
        Self::Expired,
        Self::NotYetValid,
        Self::WrongAuthority,
        Self::WrongRole,
        Self::Revoked,
        Self::IssuerRevoked,
        Self::StaleList,
        Self::MissingList,
        Self::WrongName,
        Self::SelfSigned,
    ];

    /// The revocation lists of whoever looks at the certificate.
    pub const fn lists(self) -> &'static str {
        match self {
            Self::StaleList => "stale.crl",
            Self::MissingList => "root.crl",
            _ => "all.crl",
        }
    }
}

type Authority = Issuer<'static, KeyPair>;

/// A root, an authority below it that issues, another one that was revoked, and a stranger.
pub struct Pki {
    folder: tempfile::TempDir,
    house: (Authority, Certificate),
    banned: (Authority, Certificate),
    stranger: (Authority, Certificate),
}

/// For how long what is soon over is good.
const SOON: Duration = Duration::seconds(5);
const REVOKED_LEAF: u64 = 4711;

impl Pki {
    pub fn new() -> Self {
        let root = authority("root", None, 1);
        let house = authority("house", Some(&root.0), 2);
        let banned = authority("banned", Some(&root.0), 666);
        let stranger = authority("stranger", None, 1);
        let pki = Self {
            folder: tempfile::tempdir().expect("a folder"),
            house,
            banned,
            stranger,
        };
        pki.write("root.pem", &root.1.pem());
        let until = OffsetDateTime::now_utc() + Duration::days(90);
        let ago = OffsetDateTime::now_utc() - Duration::days(1);
        let of_root = list(&root.0, &[666], until);
        let of_house = list(&pki.house.0, &[REVOKED_LEAF], until);
        let of_banned = list(&pki.banned.0, &[], until);
        pki.write("root.crl", &of_root);
        pki.write("all.crl", &format!("{of_root}{of_house}{of_banned}"));
        // Before anybody was revoked.
        let early = [&root.0, &pki.house.0, &pki.banned.0].map(|issuer| list(issuer, &[], until));
        pki.write("early.crl", &early.concat());
        let stale = list(&pki.house.0, &[], ago);
        let soon = list(&pki.house.0, &[], OffsetDateTime::now_utc() + SOON);
        pki.write("soon.crl", &format!("{of_root}{soon}{of_banned}"));
        pki.write("stale.crl", &format!("{of_root}{stale}{of_banned}"));
        pki
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("written");
        let secret = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(self.path(name), secret).expect("set");
    }

    /// A certificate of a role with a flaw: chain and key in one file.
    pub fn issue(&self, role: &str, flaw: Flaw) -> PathBuf {
        let file = format!("{role}-{flaw:?}.pem");
        let (issuer, above) = match flaw {
            Flaw::WrongAuthority => &self.stranger,
            Flaw::IssuerRevoked => &self.banned,
            _ => &self.house,
        };
        let key = KeyPair::generate().expect("a key");
        let params = leaf(role, flaw);
        let certificate = match flaw {
            Flaw::SelfSigned => params.self_signed(&key),
            _ => params.signed_by(&key, issuer),
        };
        let pem = certificate.expect("signed").pem();
        self.write(&file, &format!("{}{pem}{}", key.serialize_pem(), above.pem()));
        self.path(&file)
    }
}

fn authority(name: &str, above: Option<&Authority>, serial: u64) -> (Authority, Certificate) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.use_authority_key_identifier_extension = above.is_some();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(SerialNumber::from(serial));
    params.not_before = OffsetDateTime::now_utc() - Duration::days(900);
    params.not_after = OffsetDateTime::now_utc() + Duration::days(900);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = match above {
        Some(issuer) => params.signed_by(&key, issuer),
        None => params.self_signed(&key),
    };
    (Issuer::new(params, key), certificate.expect("signed"))
}

fn leaf(role: &str, flaw: Flaw) -> CertificateParams {
    let now = OffsetDateTime::now_utc();
    let mut params = CertificateParams::default();
    params.use_authority_key_identifier_extension = true;
    params.distinguished_name.push(DnType::CommonName, role);
    let (begin, end) = match flaw {
        Flaw::Expired => (Duration::days(-20), Duration::days(-10)),
        Flaw::NotYetValid => (Duration::days(10), Duration::days(60)),
        Flaw::SoonOver => (Duration::days(-1), SOON),
        _ => (Duration::days(-1), Duration::days(60)),
    };
    params.not_before = now + begin;
    params.not_after = now + end;
    params.serial_number = (flaw == Flaw::Revoked).then(|| SerialNumber::from(REVOKED_LEAF));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let role_uri = match (flaw, role) {
        (Flaw::WrongRole, "capture") => "urn:silentmon:role:supervisor".to_owned(),
        (Flaw::WrongRole, _) => "urn:silentmon:role:capture".to_owned(),
        _ => format!("urn:silentmon:role:{role}"),
    };
    let mut uris = vec![role_uri, format!("urn:silentmon:name:{role}-{flaw:?}")];
    // Who is dialled must bear the host's name, who dials a single name of his own.
    if flaw == Flaw::WrongName && role != "capture" {
        uris.push("urn:silentmon:name:other".to_owned());
    }
    let host = if flaw == Flaw::WrongName {
        [10, 9, 9, 9]
    } else {
        [127, 0, 0, 1]
    };
    params.subject_alt_names = uris
        .into_iter()
        .map(|uri| SanType::URI(uri.try_into().expect("ASCII")))
        .chain([SanType::IpAddress(host.into())])
        .collect();
    params
}

fn list(issuer: &Authority, revoked: &[u64], until: OffsetDateTime) -> String {
    let entry = |serial: &u64| RevokedCertParams {
        serial_number: SerialNumber::from(*serial),
        revocation_time: OffsetDateTime::now_utc() - Duration::days(5),
        reason_code: None,
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: OffsetDateTime::now_utc() - Duration::days(10),
        next_update: until,
        crl_number: SerialNumber::from(1_u64),
        issuing_distribution_point: None,
        revoked_certs: revoked.iter().map(entry).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(issuer).expect("signed").pem().expect("PEM")
}
