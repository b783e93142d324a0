//! Signed tokens (JWS in compact form, RFC 7515) and the keys that they are verified with (JWK, RFC 7517): RS256, ES256 and
//! EdDSA with Ed25519, and nothing else. The key's own kind says how it is used, never the token.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;

/// Most keys that are read of a set.
const MOST_KEYS: usize = 64;

/// A token in its parts; nothing of it is believed before [`is_signed_by`](Self::is_signed_by) says so.
#[derive(Debug)]
pub struct Jws<'a> {
    header: Header,
    signed: &'a str,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

#[derive(Debug, Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Extensions that must be understood; none is.
    crit: Option<serde_json::Value>,
}

impl<'a> Jws<'a> {
    /// Takes a token apart; `None` where it is none, or asks for extensions.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let header: Header = serde_json::from_slice(&decode(header)?).ok()?;
        header.crit.is_none().then_some(())?;
        Some(Self {
            header,
            signed,
            payload: decode(payload)?,
            signature: decode(signature)?,
        })
    }

    /// The key that it says it was signed with.
    pub fn key_id(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// What it says.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Whether one of these keys signed it, in the way that its kind signs.
    pub fn is_signed_by(&self, keys: &[Key]) -> bool {
        let named = |key: &&Key| self.key_id().is_none() || key.id.is_none() || key.id.as_deref() == self.key_id();
        let fits = |key: &&Key| key.material.algorithm() == self.header.alg;
        let mut fitting = keys.iter().filter(named).filter(fits);
        fitting.any(|key| key.material.verifies(self.signed.as_bytes(), &self.signature))
    }
}

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its name, if it has one.
    pub id: Option<String>,
    material: Material,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Material {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// A point without compression (SEC 1 section 2.3.3).
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(rename = "use")]
    purpose: Option<String>,
    alg: Option<String>,
    kid: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Key {
    /// The keys of a set that sign in a way that is known here; others are passed over (RFC 7517 section 5).
    ///
    /// # Errors
    /// Where it isn't a set of keys, or none of them can be used.
    pub fn of_set(text: &[u8]) -> Result<Vec<Self>, String> {
        let set: KeySet = serde_json::from_slice(text).map_err(|error| format!("expected a set of keys: {error}"))?;
        let found = set.keys.into_iter().take(MOST_KEYS);
        let keys: Vec<_> = found
            .filter_map(|key| Self::of(serde_json::from_value(key).ok()?))
            .collect();
        if keys.is_empty() {
            return Err("expected a key for RS256, ES256 or EdDSA, found none".to_owned());
        }
        Ok(keys)
    }

    fn of(jwk: Jwk) -> Option<Self> {
        let bytes = |field: Option<String>| decode(&field?);
        let material = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => Material::Rsa {
                modulus: bytes(jwk.n)?,
                exponent: bytes(jwk.e)?,
            },
            ("EC", Some("P-256")) => {
                let (x, y) = (bytes(jwk.x)?, bytes(jwk.y)?);
                (x.len() == 32 && y.len() == 32).then(|| Material::P256([&[4], &x[..], &y[..]].concat()))?
            }
            ("OKP", Some("Ed25519")) => Material::Ed25519(bytes(jwk.x).filter(|x| x.len() == 32)?),
            _ => return None,
        };
        let signs = jwk.purpose.is_none_or(|purpose| purpose == "sig");
        let fits = jwk.alg.is_none_or(|alg| alg == material.algorithm());
        (signs && fits).then_some(Self { id: jwk.kid, material })
    }
}

impl Material {
    /// How it signs (RFC 7518 section 3.1, RFC 8037).
    const fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa { .. } => "RS256",
            Self::P256(_) => "ES256",
            Self::Ed25519(_) => "EdDSA",
        }
    }

    fn verifies(&self, signed: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Rsa { modulus, exponent } => RsaPublicKeyComponents {
                n: modulus,
                e: exponent,
            }
            .verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature)
            .is_ok(),
            Self::P256(point) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
                .verify(signed, signature)
                .is_ok(),
            Self::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(signed, signature).is_ok(),
        }
    }
}

fn decode(text: &str) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
    use serde_json::json;

    use super::*;

    fn encode(bytes: &[u8]) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    fn unsigned(header: &serde_json::Value) -> String {
        format!("{}.{}", encode(header.to_string().as_bytes()), encode(b"{}"))
    }

    fn ed25519() -> (Ed25519KeyPair, Vec<Key>) {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a key");
        let x = encode(pair.public_key().as_ref());
        let set =
            json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "one", "x": x }, { "kty": "oct", "k": "AA" }] });
        let keys = Key::of_set(set.to_string().as_bytes()).expect("keys");
        (pair, keys)
    }

    fn is_good(token: &str, keys: &[Key]) -> bool {
        Jws::parse(token).is_some_and(|token| token.is_signed_by(keys))
    }

    #[test]
    fn a_token_is_good_by_its_key_alone() {
        let (pair, keys) = ed25519();
        assert_eq!(keys.len(), 1, "a secret key is none that signs");
        let sign = |header: serde_json::Value| {
            let signed = unsigned(&header);
            let signature = encode(pair.sign(signed.as_bytes()).as_ref());
            format!("{signed}.{signature}")
        };
        let good = sign(json!({ "alg": "EdDSA", "kid": "one" }));
        assert!(is_good(&good, &keys));
        assert!(
            is_good(&sign(json!({ "alg": "EdDSA" })), &keys),
            "without the key's name"
        );
        for bad in [
            sign(json!({ "alg": "EdDSA", "kid": "two" })),
            sign(json!({ "alg": "none" })),
            sign(json!({ "alg": "HS256" })),
            sign(json!({ "alg": "EdDSA", "crit": ["exp"] })),
            format!("{}.", unsigned(&json!({ "alg": "none" }))),
            good.replacen('.', "..", 1),
            format!("{good}A"),
            good.replace(&encode(b"{}"), &encode(b"{ }")),
        ] {
            assert!(!is_good(&bad, &keys), "{bad}");
        }
    }

    #[test]
    fn a_point_of_p_256_verifies_too() {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).expect("a key");
        let point = pair.public_key().as_ref();
        let (x, y) = (encode(&point[1..33]), encode(&point[33..]));
        let jwk = json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "use": "sig", "alg": "ES256" });
        let set = json!({ "keys": [jwk] }).to_string();
        let keys = Key::of_set(set.as_bytes()).expect("keys");
        let signed = unsigned(&json!({ "alg": "ES256" }));
        let signature = pair.sign(&random, signed.as_bytes()).expect("signs");
        assert!(is_good(&format!("{signed}.{}", encode(signature.as_ref())), &keys));
        assert!(!is_good(&format!("{signed}.{}", encode(&[1; 64])), &keys));
        for useless in [
            json!({ "keys": [] }),
            json!({ "keys": [{ "kty": "EC", "crv": "P-256", "x": x, "y": "AA" }] }),
            json!({ "keys": [{ "kty": "EC", "crv": "P-256", "x": x, "y": y, "use": "enc" }] }),
            json!({ "keys": 3 }),
        ] {
            assert!(Key::of_set(useless.to_string().as_bytes()).is_err(), "{useless}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_no_token_and_never_a_panic(text in "\\PC*", bytes: Vec<u8>) {
            prop_assert!(!is_good(&text, &ed25519().1));
            let _ = Key::of_set(&bytes);
        }
    }
}
