//! Sign-in by an identity provider (OpenID Connect Core 1.0): the browser brings an ID token, which is verified here by the
//! issuer's keys. It is exchanged for a session once; what it says of name and role holds for that session.

mod jws;
mod keys;
mod nonce;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde_json::Value;
use silentmon_capture_core::policy::Role;
use silentmon_proto::ids::SupervisorName;
use thiserror::Error;

use self::jws::Jws;
use self::keys::{IssuerKeys, KeySource};
use self::nonce::{BadNonce, Nonces};
use crate::config::oidc::OidcSection;
use crate::config::values::Seconds;
use crate::exit::{ExitKind, Failure};
use crate::users::LONGEST_NAME;

/// Longest ID token, in bytes.
pub const LONGEST_TOKEN: usize = 16 << 10;
/// Clocks of machines differ by so much, in seconds.
const LEEWAY: f64 = 60.0;

/// Who may sign in by which issuer.
pub struct Oidc {
    issuer: String,
    client_id: String,
    name_claim: String,
    role_claim: String,
    roles: BTreeMap<String, Role>,
    lasting: Duration,
    keys: IssuerKeys,
    nonces: Nonces,
}

/// Whom the issuer vouched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vouched {
    /// His name.
    pub name: SupervisorName,
    /// What he may be.
    pub role: Role,
    /// How long that is believed.
    pub lasting: Duration,
}

/// Why an ID token isn't good; said to whoever brought it.
#[derive(Debug, Error)]
pub enum BadToken {
    /// The issuer's keys can't be had: neither good nor bad.
    #[error("the issuer's keys can't be had now")]
    NoKeys,
    /// No key of the issuer's signed it.
    #[error("it isn't signed by a key of the issuer")]
    Signature,
    /// It says something else than it has to.
    #[error("{0}")]
    Claim(String),
    /// What it was asked for with wasn't given away here lately, or was used.
    #[error("its nonce wasn't given away here lately, or was used already")]
    Nonce,
}

/// The claims that are the standard's (OpenID Connect Core section 2). Times are numbers, and nothing else.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    azp: Option<String>,
    exp: f64,
    nbf: Option<f64>,
    iat: f64,
    nonce: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    fn has(&self, name: &str) -> bool {
        match self {
            Self::One(only) => only == name,
            Self::Several(names) => names.iter().any(|found| found == name),
        }
    }

    const fn is_one(&self) -> bool {
        match self {
            Self::One(_) => true,
            Self::Several(names) => names.len() == 1,
        }
    }
}

/// A token whose name was read, but not believed.
pub struct Claimed<'a> {
    /// Who it says he is.
    pub name: SupervisorName,
    jws: Jws<'a>,
    said: Value,
}

impl Oidc {
    /// As the configuration says.
    ///
    /// # Errors
    /// Where the keys in the file can't be used, or there are no random numbers.
    pub fn new(section: &OidcSection) -> anyhow::Result<Self> {
        let source = match (&section.keys_file, &section.ca) {
            (Some(path), _) => KeySource::File(path.clone()),
            (None, ca) => KeySource::Issuer {
                issuer: section.issuer.clone(),
                ca: ca.clone().unwrap_or_default(),
            },
        };
        if let KeySource::File(path) = &source {
            let wrong = |what: String| Failure::error(ExitKind::BadConfig, format!("{}: {what}", path.display()));
            let text = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
            jws::Key::of_set(&text).map_err(wrong)?;
        }
        let Seconds(lasting) = section.longest_s;
        Ok(Self {
            issuer: section.issuer.clone(),
            client_id: section.client_id.clone(),
            name_claim: section.name_claim.clone(),
            role_claim: section.role_claim.clone(),
            roles: section.roles.clone(),
            lasting,
            keys: IssuerKeys::new(source),
            nonces: Nonces::new()?,
        })
    }

    /// The issuer, as its tokens name it.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The name under which it knows this service.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// A nonce to ask the issuer with; `None` without random numbers.
    pub fn nonce(&self) -> Option<String> {
        self.nonces.issue(now()).ok()
    }

    /// Reads who a token says it is for; `None` where it is no ID token, or names nobody.
    pub fn read<'a>(&self, token: &'a str) -> Option<Claimed<'a>> {
        let jws = (token.len() <= LONGEST_TOKEN).then(|| Jws::parse(token))??;
        let said: Value = serde_json::from_slice(jws.payload()).ok()?;
        let name = claim(&said, &self.name_claim)?.as_str()?;
        let usable = (1..=LONGEST_NAME).contains(&name.chars().count()) && !name.contains(char::is_control);
        let name = usable.then(|| SupervisorName::new(name))?;
        Some(Claimed { name, jws, said })
    }

    /// Verifies a token, and takes it for used.
    ///
    /// # Errors
    /// Why it isn't good.
    pub async fn verify(&self, claimed: &Claimed<'_>) -> Result<Vouched, BadToken> {
        let keys = self.keys.with(claimed.jws.key_id()).await.map_err(|error| {
            tracing::error!("nobody can sign in by the issuer: {error:#}");
            BadToken::NoKeys
        })?;
        if !claimed.jws.is_signed_by(&keys) {
            return Err(BadToken::Signature);
        }
        let wrong = |what: String| BadToken::Claim(what);
        let claims: Claims = Claims::deserialize(&claimed.said)
            .map_err(|error| wrong(format!("it isn't an ID token with iss, aud, exp and iat: {error}")))?;
        self.check(&claims, now() as f64).map_err(wrong)?;
        let role = self.role(&claimed.said).map_err(wrong)?;
        let nonce = claims.nonce.as_deref().unwrap_or_default();
        self.nonces.take(nonce, now()).map_err(|bad| match bad {
            BadNonce::Unknown | BadNonce::Used => BadToken::Nonce,
            BadNonce::TooMany => BadToken::NoKeys,
        })?;
        Ok(Vouched {
            name: claimed.name.clone(),
            role,
            lasting: self.lasting,
        })
    }

    fn check(&self, claims: &Claims, now: f64) -> Result<(), String> {
        if claims.iss != self.issuer {
            return Err("it is of another issuer".to_owned());
        }
        let for_us = claims.aud.has(&self.client_id);
        let asked_by_us = match &claims.azp {
            Some(party) => *party == self.client_id,
            None => claims.aud.is_one(),
        };
        if !for_us || !asked_by_us {
            return Err("it is for another service".to_owned());
        }
        if now >= claims.exp + LEEWAY {
            return Err("it has expired".to_owned());
        }
        let begin = claims.nbf.unwrap_or(claims.iat).max(claims.iat);
        if begin > now + LEEWAY {
            return Err("it isn't valid yet (is a clock wrong?)".to_owned());
        }
        Ok(())
    }

    fn role(&self, said: &Value) -> Result<Role, String> {
        let none = || format!("its claim {} says no role that is known here", self.role_claim);
        let values = match claim(said, &self.role_claim) {
            Some(Value::String(one)) => vec![one.as_str()],
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
            _ => return Err(none()),
        };
        let mut roles = values.iter().filter_map(|value| self.roles.get(*value)).copied();
        let role = roles.next().ok_or_else(none)?;
        if roles.any(|other| other != role) {
            return Err(format!("its claim {} says more than one role", self.role_claim));
        }
        Ok(role)
    }
}

/// A claim, by its name or, with dots, inside others.
fn claim<'a>(said: &'a Value, name: &str) -> Option<&'a Value> {
    let nested = || name.split('.').try_fold(said, |at, part| at.get(part));
    said.get(name).or_else(nested)
}

/// Seconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn oidc() -> Oidc {
        Oidc {
            issuer: "https://login.example".to_owned(),
            client_id: "silentmon".to_owned(),
            name_claim: "preferred_username".to_owned(),
            role_claim: "realm_access.roles".to_owned(),
            roles: [("listener", Role::Supervisor), ("qm", Role::Quality)]
                .map(|(value, role)| (value.to_owned(), role))
                .into(),
            lasting: Duration::from_secs(60),
            keys: IssuerKeys::new(KeySource::File("none".into())),
            nonces: Nonces::new().expect("made"),
        }
    }

    #[test]
    fn claims_are_for_this_service_by_this_issuer_and_in_time() {
        let said = |change: Value| {
            let mut claims = json!({ "iss": "https://login.example", "aud": "silentmon", "exp": 1100, "iat": 1000 });
            let fields = claims.as_object_mut().expect("an object");
            fields.extend(change.as_object().expect("an object").clone());
            let claims = Claims::deserialize(claims).map_err(|error| error.to_string())?;
            oidc().check(&claims, 1050.0)
        };
        for good in [
            json!({}),
            json!({ "aud": ["silentmon"] }),
            json!({ "aud": ["other", "silentmon"], "azp": "silentmon" }),
            json!({ "exp": 991 }),
            json!({ "nbf": 1109.5 }),
        ] {
            assert_eq!(said(good.clone()), Ok(()), "{good}");
        }
        for (bad, words) in [
            (json!({ "iss": "https://login.example/" }), "another issuer"),
            (json!({ "aud": "other" }), "another service"),
            (json!({ "aud": ["silentmon", "other"] }), "another service"),
            (json!({ "azp": "other" }), "another service"),
            (json!({ "exp": 990 }), "expired"),
            (json!({ "nbf": 1111 }), "not valid yet"),
            (json!({ "iat": 1111 }), "not valid yet"),
            (json!({ "exp": "4000" }), "invalid type"),
            (json!({ "nbf": "0" }), "invalid type"),
        ] {
            let why = said(bad.clone())
                .expect_err("refused")
                .replace("isn't valid", "is not valid");
            assert!(why.contains(words), "{bad}: {why}");
        }
    }

    #[test]
    fn a_role_is_what_one_of_the_claims_values_means() {
        let role = |roles: Value| oidc().role(&json!({ "realm_access": { "roles": roles } }));
        assert_eq!(role(json!("qm")), Ok(Role::Quality));
        assert_eq!(role(json!(["x", "listener"])), Ok(Role::Supervisor));
        for bad in [json!([]), json!(["x"]), json!(3), json!(["qm", "listener"])] {
            assert!(role(bad.clone()).is_err(), "{bad}");
        }
    }
}
