//! Identities that another house vouches for: JSON Web Tokens (RFC 7519) signed by one of the configured keys.

use crate::error::ArchiveError;
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode, decode_header,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet},
};
use std::{collections::HashMap, fs, path::PathBuf};

/// Longer ones are not looked at.
const LONGEST: usize = 16 << 10;

/// Whose JSON Web Tokens are taken, on the web as bearer and in DICOM as user identity.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct JwtConfig {
    /// A file with the public keys of the issuer, a JSON Web Key Set (RFC 7517); not set: no token is taken. It is read when
    /// the program starts.
    pub keys: Option<PathBuf>,
    /// Who must have issued a token (claim `iss`); to be given with `keys`.
    pub issuer: String,
    /// For whom it must be meant (claim `aud`); to be given with `keys`.
    pub audience: String,
    /// The claim that has the name of the user, who must be one of `pacs user list`; the roles are those given there.
    pub user_claim: String,
}

/// What is needed to judge tokens.
pub(crate) struct Jwt {
    keys: Vec<(Option<String>, DecodingKey, Algorithm)>,
    issuer: String,
    audience: String,
    user_claim: String,
}

impl Jwt {
    /// `None` if no tokens are taken.
    pub(crate) fn open(config: &JwtConfig) -> Result<Option<Self>, ArchiveError> {
        let Some(path) = &config.keys else { return Ok(None) };
        let fault = |why: String| ArchiveError::Config(format!("storage.jwt.keys, {}: {why}", path.display()));
        if config.issuer.is_empty() || config.audience.is_empty() {
            return Err(ArchiveError::Config(
                "storage.jwt needs issuer and audience: without, a token for anybody \
                and by anybody who shares the keys would do"
                    .into(),
            ));
        }
        let text = fs::read_to_string(path).map_err(|error| fault(error.to_string()))?;
        let set: JwkSet = serde_json::from_str(&text).map_err(|error| fault(error.to_string()))?;
        let mut keys = Vec::new();
        for jwk in &set.keys {
            let Some(algorithm) = algorithm(jwk) else { continue };
            let key = DecodingKey::from_jwk(jwk).map_err(|error| fault(error.to_string()))?;
            keys.push((jwk.common.key_id.clone(), key, algorithm));
        }
        if keys.is_empty() {
            return Err(fault("there is no public key for signatures in it".to_owned()));
        }
        let user_claim = if config.user_claim.is_empty() { "sub" } else { &config.user_claim }.to_owned();
        let (issuer, audience) = (config.issuer.clone(), config.audience.clone());
        Ok(Some(Self { keys, issuer, audience, user_claim }))
    }

    /// Whether a text has the form of a token.
    pub(crate) fn looks_like(text: &str) -> bool {
        text.bytes().filter(|&b| b == b'.').count() == 2
    }

    /// The name of the user for whom a token stands now; `None` if it does not hold.
    pub(crate) fn user(&self, token: &str) -> Option<String> {
        if token.len() > LONGEST {
            return None;
        }
        let header = decode_header(token).ok()?;
        // The key says how it signs, never the token: an algorithm of its choice could make a public key a secret one.
        let fit = self.keys.iter().filter(|(id, _, algorithm)| {
            *algorithm == header.alg && (id.is_none() || header.kid.is_none() || *id == header.kid)
        });
        fit.filter_map(|(_, key, algorithm)| self.claims(token, key, *algorithm)).find_map(|claims| {
            let user = claims.get(&self.user_claim)?.as_str()?;
            (!user.is_empty()).then(|| user.to_owned())
        })
    }

    fn claims(
        &self,
        token: &str,
        key: &DecodingKey,
        algorithm: Algorithm,
    ) -> Option<HashMap<String, serde_json::Value>> {
        let mut validation = Validation::new(algorithm);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.validate_nbf = true;
        decode(token, key, &validation).ok().map(|token| token.claims)
    }
}

/// The algorithm of a public key; `None` for what is no key for signatures, or is a shared secret.
fn algorithm(jwk: &Jwk) -> Option<Algorithm> {
    let stated = jwk.common.key_algorithm.and_then(|stated| stated.to_string().parse::<Algorithm>().ok());
    match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => stated.or(Some(Algorithm::RS256)),
        AlgorithmParameters::EllipticCurve(curve) => match curve.curve {
            EllipticCurve::P256 => Some(Algorithm::ES256),
            EllipticCurve::P384 => Some(Algorithm::ES384),
            _ => None,
        },
        AlgorithmParameters::OctetKeyPair(_) => Some(Algorithm::EdDSA),
        // A shared secret, and what there may be later.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    use jsonwebtoken::{EncodingKey, Header, encode};
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use std::time::{SystemTime, UNIX_EPOCH};

    /// A signing key, and its public half as a JSON Web Key.
    fn key(id: &str) -> (EncodingKey, Value) {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
        let [_, point @ ..] = pair.public_key_raw() else { panic!("no point") };
        let (x, y) = point.split_at(32);
        let text = |bytes| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let public = json!({ "kty": "EC", "crv": "P-256", "alg": "ES256", "kid": id, "x": text(x), "y": text(y) });
        (EncodingKey::from_ec_der(pair.serialized_der()), public)
    }

    fn open(keys: &[&Value]) -> Result<Option<Jwt>, ArchiveError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys.json");
        fs::write(&path, json!({ "keys": keys }).to_string()).expect("written");
        let (issuer, audience) = ("https://sso.example".to_owned(), "yinghai".to_owned());
        Jwt::open(&JwtConfig { keys: Some(path), issuer, audience, user_claim: String::new() })
    }

    fn token(key: &EncodingKey, id: Option<&str>, change: impl FnOnce(&mut Value)) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let mut claims = json!({ "iss": "https://sso.example", "aud": "yinghai", "sub": "li", "exp": now + 600 });
        change(&mut claims);
        let header = Header { kid: id.map(str::to_owned), ..Header::new(Algorithm::ES256) };
        encode(&header, &claims, key).expect("a token")
    }

    #[test]
    fn a_token_stands_for_its_user_while_it_holds() {
        let ((key_one, public_one), (key_two, public_two)) = (key("one"), key("two"));
        let jwt = open(&[&public_one, &public_two]).expect("keys").expect("tokens are taken");
        for (key, id) in [(&key_one, Some("one")), (&key_two, Some("two")), (&key_two, None)] {
            assert_eq!(jwt.user(&token(key, id, |_| {})).as_deref(), Some("li"));
        }
        let stranger = key("one").0;
        let refused = [
            token(&stranger, Some("one"), |_| {}),
            token(&key_two, Some("one"), |_| {}),
            token(&key_one, None, |claims| claims["exp"] = json!(1_000_000)),
            token(&key_one, None, |claims| claims["aud"] = json!("other")),
            token(&key_one, None, |claims| claims["iss"] = json!("https://other.example")),
            token(&key_one, None, |claims| claims["sub"] = json!("")),
            token(&key_one, None, |claims| claims["nbf"] = json!(99_999_999_999_u64)),
            token(&key_one, None, |claims| drop(claims.as_object_mut().expect("claims").remove("exp"))),
        ];
        assert!(refused.iter().all(|token| jwt.user(token).is_none()));
    }

    #[test]
    fn a_public_key_is_no_secret_and_no_algorithm_is_no_signature() {
        let (_, public) = key("one");
        let jwt = open(&[&public]).expect("keys").expect("tokens are taken");
        let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let claims = json!({ "iss": "https://sso.example", "aud": "yinghai", "sub": "li", "exp": 99_999_999_999_u64 });
        assert_eq!(jwt.user(&format!("{}.{}.", part(json!({ "alg": "none" })), part(claims.clone()))), None);
        let secret = EncodingKey::from_secret(public["x"].as_str().expect("a number").as_bytes());
        assert_eq!(jwt.user(&encode(&Header::new(Algorithm::HS256), &claims, &secret).expect("a token")), None);
        let shared = json!({ "kty": "oct", "k": "c2VjcmV0", "alg": "HS256" });
        assert!(open(&[&shared]).is_err());
    }

    #[test]
    fn without_issuer_and_audience_no_key_is_used() {
        let config = JwtConfig { keys: Some("keys.json".into()), ..JwtConfig::default() };
        assert!(Jwt::open(&config).is_err());
        assert!(Jwt::open(&JwtConfig::default()).is_ok_and(|jwt| jwt.is_none()));
    }

    proptest! {
        #[test]
        fn any_text_is_nobody(text in "[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}|.*") {
            let jwt = open(&[&key("one").1]).expect("keys").expect("tokens are taken");
            prop_assert_eq!(jwt.user(&text), None);
        }
    }
}
