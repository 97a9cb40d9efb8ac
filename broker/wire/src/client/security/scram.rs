//! The client's half of SCRAM (RFC 5802, RFC 7677), without channel binding, as Kafka speaks it. Pure: the nonce is given.
//!
//! ```text
//! client                                   server
//!   n,,n=user,r=NONCE             -->
//!                                 <--      r=NONCE+theirs,s=salt,i=iterations
//!   c=biws,r=NONCE+theirs,p=proof -->
//!                                 <--      v=signature          proves that the server knows the password, too
//! ```

use super::Password;
use base64::prelude::{BASE64_STANDARD, Engine};
use ring::{digest, hmac, pbkdf2};
use std::num::NonZeroU32;

/// Fewer would let whoever sees our proof guess the password; Kafka itself has no fewer.
const ITERATIONS_MIN: u32 = 4096;
/// More would let a server keep us busy; Kafka takes up to 16,384.
const ITERATIONS_MAX: u32 = 100_000;
/// The largest message of a server, bytes.
const MESSAGE_BYTES_MAX: usize = 4096;
/// `n,,` in base64: no channel binding, nobody else's rights.
const NO_BINDING: &str = "biws";

/// Which hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    /// SCRAM-SHA-256.
    Sha256,
    /// SCRAM-SHA-512.
    Sha512,
}

impl Hash {
    fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }

    fn pbkdf2(self) -> pbkdf2::Algorithm {
        match self {
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Self::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        }
    }
}

/// Why the exchange ends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ScramError {
    /// The server refuses us.
    #[error("{0}")]
    Refused(String),
    /// A message that is none.
    #[error("its answer is not one of SCRAM")]
    Malformed,
    /// The nonce is not ours with something behind it.
    #[error("its nonce does not continue ours")]
    Nonce,
    /// Too little or too much work.
    #[error("it asks for {0} iterations, {ITERATIONS_MIN} to {ITERATIONS_MAX} are accepted")]
    Iterations(u32),
    /// It does not know the password.
    #[error("its signature is wrong")]
    Signature,
}

/// A client that has said nothing yet, or its first message.
pub(super) struct Client {
    hash: Hash,
    password: Password,
    nonce: String,
    /// The first message without its header.
    bare: String,
}

/// What the server's last message has to be.
pub(super) struct Expected {
    key: hmac::Key,
    message: String,
}

impl Client {
    /// For one exchange; `nonce` is printable, without a comma, and never used again.
    pub(super) fn new(hash: Hash, user: &str, password: Password, nonce: String) -> Self {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        Self { hash, password, bare: format!("n={user},r={nonce}"), nonce }
    }

    /// The first message.
    pub(super) fn first(&self) -> String {
        format!("n,,{}", self.bare)
    }

    /// The second message, in answer to the server's first, and what has to come then.
    pub(super) fn answer(&self, challenge: &[u8]) -> Result<(String, Expected), ScramError> {
        let text = text(challenge)?;
        let mut fields = text.split(',');
        let nonce = field(fields.next(), "r=")?;
        let salt = decoded(field(fields.next(), "s=")?)?;
        let iterations = field(fields.next(), "i=")?.parse().map_err(|_| ScramError::Malformed)?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(ScramError::Nonce);
        }
        let salted = self.salted(&salt, bounded(iterations)?);
        let without_proof = format!("c={NO_BINDING},r={nonce}");
        let message = format!("{},{text},{without_proof}", self.bare);
        let proof = encoded(&self.proof(&salted, &message));
        let key = hmac::Key::new(self.hash.hmac(), self.sign(&salted, b"Server Key").as_ref());
        Ok((format!("{without_proof},p={proof}"), Expected { key, message }))
    }

    fn salted(&self, salt: &[u8], iterations: NonZeroU32) -> Vec<u8> {
        let mut salted = vec![0; self.hash.hmac().digest_algorithm().output_len()];
        pbkdf2::derive(self.hash.pbkdf2(), iterations, salt, self.password.reveal().as_bytes(), &mut salted);
        salted
    }

    fn proof(&self, salted: &[u8], message: &str) -> Vec<u8> {
        let client_key = self.sign(salted, b"Client Key");
        let stored_key = digest::digest(self.hash.hmac().digest_algorithm(), client_key.as_ref());
        let signature = self.sign(stored_key.as_ref(), message.as_bytes());
        client_key.as_ref().iter().zip(signature.as_ref()).map(|(key, signature)| key ^ signature).collect()
    }

    fn sign(&self, key: &[u8], message: &[u8]) -> hmac::Tag {
        hmac::sign(&hmac::Key::new(self.hash.hmac(), key), message)
    }
}

impl Expected {
    /// Checks the server's last message.
    pub(super) fn verify(&self, verdict: &[u8]) -> Result<(), ScramError> {
        let text = text(verdict)?;
        let first = text.split(',').next().unwrap_or_default();
        if let Some(words) = first.strip_prefix("e=") {
            return Err(ScramError::Refused(words.to_owned()));
        }
        let signature = decoded(field(Some(first), "v=")?)?;
        hmac::verify(&self.key, self.message.as_bytes(), &signature).map_err(|_| ScramError::Signature)
    }
}

fn text(message: &[u8]) -> Result<&str, ScramError> {
    let message = Some(message).filter(|message| message.len() <= MESSAGE_BYTES_MAX);
    message.and_then(|message| str::from_utf8(message).ok()).ok_or(ScramError::Malformed)
}

fn field<'a>(found: Option<&'a str>, name: &str) -> Result<&'a str, ScramError> {
    found.and_then(|found| found.strip_prefix(name)).ok_or(ScramError::Malformed)
}

fn bounded(iterations: u32) -> Result<NonZeroU32, ScramError> {
    let accepted = (ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations);
    NonZeroU32::new(iterations).filter(|_| accepted).ok_or(ScramError::Iterations(iterations))
}

fn decoded(text: &str) -> Result<Vec<u8>, ScramError> {
    BASE64_STANDARD.decode(text).map_err(|_| ScramError::Malformed)
}

pub(super) fn encoded(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677, section 3.
    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const CHALLENGE: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    const PROOF: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                         p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    const VERDICT: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    fn client(user: &str) -> Client {
        Client::new(Hash::Sha256, user, Password::new("pencil"), NONCE.to_owned())
    }

    #[test]
    fn the_example_of_the_rfc_is_played() {
        let client = client("user");
        assert_eq!(client.first(), format!("n,,n=user,r={NONCE}"));
        let (proof, expected) = client.answer(CHALLENGE.as_bytes()).unwrap();
        assert_eq!(proof, PROOF);
        assert_eq!(expected.verify(VERDICT.as_bytes()), Ok(()));
    }

    #[test]
    fn a_server_that_does_not_know_the_password_is_found_out() {
        let (_, expected) = client("user").answer(CHALLENGE.as_bytes()).unwrap();
        let wrong = VERDICT.replace("6rri", "7rri");
        assert_eq!(expected.verify(wrong.as_bytes()), Err(ScramError::Signature));
        assert_eq!(expected.verify(b"v="), Err(ScramError::Signature));
        assert_eq!(expected.verify(b""), Err(ScramError::Malformed));
        assert_eq!(expected.verify(b"e=invalid-proof"), Err(ScramError::Refused("invalid-proof".into())));
    }

    #[test]
    fn work_is_bounded_and_the_nonce_must_continue_ours() {
        let answer = |challenge: String| client("user").answer(challenge.as_bytes()).map(|(proof, _)| proof);
        for iterations in [0, 1, ITERATIONS_MIN - 1, ITERATIONS_MAX + 1, u32::MAX] {
            let challenge = CHALLENGE.replace("i=4096", &format!("i={iterations}"));
            assert_eq!(answer(challenge), Err(ScramError::Iterations(iterations)));
        }
        assert_eq!(answer(CHALLENGE.replace("r=rOpr", "r=xOpr")), Err(ScramError::Nonce));
        assert_eq!(answer(format!("r={NONCE},s=W22ZaA==,i=4096")), Err(ScramError::Nonce), "nothing of theirs");
        assert_eq!(answer(CHALLENGE.replace("s=W22", "s=*")), Err(ScramError::Malformed));
        assert_eq!(answer("x".repeat(MESSAGE_BYTES_MAX + 1)), Err(ScramError::Malformed));
    }

    #[test]
    fn names_with_commas_and_equal_signs_are_escaped() {
        assert_eq!(client("a=b,c").first(), format!("n,,n=a=3Db=2Cc,r={NONCE}"));
    }
}
