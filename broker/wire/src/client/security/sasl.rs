use super::scram::{self, Hash, ScramError};
use super::{Opened, SecurityFault};
use crate::api::{sasl_authenticate, sasl_handshake};
use crate::client::{ClientError, Connection};
use crate::{ApiKey, ErrorCode};
use bytes::Bytes;
use ring::rand::{SecureRandom, SystemRandom};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// How many random bytes our nonce has.
const NONCE_BYTES: usize = 24;

/// A way to prove who we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// The password itself (RFC 4616): only over TLS.
    Plain,
    /// A proof that we know the password, and one that the broker does (RFC 7677).
    ScramSha256,
    /// The same with a longer hash.
    ScramSha512,
}

impl Mechanism {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Plain, Self::ScramSha256, Self::ScramSha512];

    /// Its registered name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Mechanism {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|mechanism| mechanism.name().eq_ignore_ascii_case(text));
        found.ok_or_else(|| format!("{text}: choose PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"))
    }
}

/// A secret that is shown nowhere.
#[derive(Clone)]
pub struct Password(String);

impl Password {
    /// The secret `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// As whom we come.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// How it is proved.
    pub mechanism: Mechanism,
    /// Who.
    pub user: String,
    /// What only the two of us know.
    pub password: Password,
}

/// Proves who we are on a new connection; how long the broker then takes it for ours, unless for ever.
pub(super) async fn authenticate(opened: &Opened, credentials: &Credentials) -> Result<Option<Duration>, ClientError> {
    let connection = &opened.connection;
    agree(connection, credentials.mechanism).await?;
    let version = opened.version::<sasl_authenticate::Request>(i16::MAX)?;
    let talk = Talk { connection, version, credentials };
    match credentials.mechanism {
        Mechanism::Plain => talk.plain().await,
        Mechanism::ScramSha256 => talk.scram(Hash::Sha256).await,
        Mechanism::ScramSha512 => talk.scram(Hash::Sha512).await,
    }
}

async fn agree(connection: &Connection, mechanism: Mechanism) -> Result<(), ClientError> {
    let request = sasl_handshake::Request { mechanism: mechanism.name().to_owned(), ..Default::default() };
    let response = connection.call(&request, 1).await?;
    let fault = match response.error_code {
        ErrorCode::NONE => return Ok(()),
        ErrorCode::UNSUPPORTED_SASL_MECHANISM => {
            SecurityFault::MechanismNotOffered { mechanism, offered: response.mechanisms.join(", ") }
        }
        ErrorCode::ILLEGAL_SASL_STATE => SecurityFault::AsksForNoSasl,
        code => return Err(ClientError::refused(ApiKey::SaslHandshake, code, None)),
    };
    Err(ClientError::security(connection.peer(), fault))
}

/// One exchange of tokens.
struct Talk<'a> {
    connection: &'a Connection,
    version: i16,
    credentials: &'a Credentials,
}

impl Talk<'_> {
    async fn plain(&self) -> Result<Option<Duration>, ClientError> {
        let Credentials { user, password, .. } = self.credentials;
        let response = self.say(format!("\0{user}\0{}", password.reveal())).await?;
        Ok(lifetime(&response))
    }

    async fn scram(&self, hash: Hash) -> Result<Option<Duration>, ClientError> {
        let nonce = nonce().ok_or_else(|| self.fault("this system has no randomness".to_owned()))?;
        let client = scram::Client::new(hash, &self.credentials.user, self.credentials.password.clone(), nonce);
        let challenge = self.say(client.first()).await?;
        // Thousands of hashes: not on a thread that others wait for.
        let answered = tokio::task::spawn_blocking(move || client.answer(&challenge.auth_bytes)).await;
        let answered = answered.map_err(|panic| self.fault(panic.to_string()))?;
        let (proof, expected) = answered.map_err(|error| self.not_proven(&error))?;
        let verdict = self.say(proof).await?;
        expected.verify(&verdict.auth_bytes).map_err(|error| self.not_proven(&error))?;
        Ok(lifetime(&verdict))
    }

    async fn say(&self, token: String) -> Result<sasl_authenticate::Response, ClientError> {
        let request = sasl_authenticate::Request { auth_bytes: Bytes::from(token), ..Default::default() };
        let response = self.connection.call(&request, self.version).await?;
        match response.error_code {
            ErrorCode::NONE => Ok(response),
            ErrorCode::SASL_AUTHENTICATION_FAILED => Err(self.not_accepted(response.error_message)),
            code => Err(ClientError::refused(ApiKey::SaslAuthenticate, code, response.error_message)),
        }
    }

    fn not_accepted(&self, words: Option<String>) -> ClientError {
        let Credentials { mechanism, user, .. } = self.credentials;
        let words = words.unwrap_or_else(|| "it does not say why".to_owned());
        let fault = SecurityFault::WrongCredentials { mechanism: *mechanism, user: user.clone(), words };
        ClientError::security(self.connection.peer(), fault)
    }

    fn not_proven(&self, error: &ScramError) -> ClientError {
        match error {
            ScramError::Refused(words) => self.not_accepted(Some(words.clone())),
            other => self.fault(other.to_string()),
        }
    }

    fn fault(&self, reason: String) -> ClientError {
        ClientError::security(self.connection.peer(), SecurityFault::ServerNotProven { reason })
    }
}

fn lifetime(response: &sasl_authenticate::Response) -> Option<Duration> {
    let millis = u64::try_from(response.session_lifetime_ms).ok()?;
    (millis > 0).then(|| Duration::from_millis(millis))
}

fn nonce() -> Option<String> {
    let mut bytes = [0; NONCE_BYTES];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(scram::encoded(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_shown_nowhere() {
        let mechanism = "scram-sha-512".parse().unwrap();
        let credentials = Credentials { mechanism, user: "link".into(), password: Password::new("pencil") };
        let shown = format!("{credentials:?}");
        assert!(shown.contains("ScramSha512") && !shown.contains("pencil"), "{shown}");
        assert!("DIGEST-MD5".parse::<Mechanism>().unwrap_err().contains("SCRAM-SHA-256"));
    }
}
