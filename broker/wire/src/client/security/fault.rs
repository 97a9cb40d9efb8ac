use super::Mechanism;
use rustls::{AlertDescription, CertificateError};
use std::io;

/// Why a cluster and this client do not trust each other. None of it passes by itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecurityFault {
    /// Its certificate leads to no authority we trust.
    #[error(
        "shows a certificate of an authority that is not trusted here: name the file with the authority's certificate \
         (ca-file)"
    )]
    UnknownAuthority,
    /// Its certificate is somebody else's.
    #[error(
        "shows a certificate that is not for the name {name}: connect under a name that the certificate has, or switch \
         off the check of the name alone (no-name-check)"
    )]
    WrongName {
        /// Under which name it was reached.
        name: String,
    },
    /// Its certificate is of no use.
    #[error("shows a certificate that cannot be accepted: {reason}; it has to be replaced there")]
    BadCertificate {
        /// Why.
        reason: String,
    },
    /// TLS cannot be agreed on.
    #[error("does not agree on TLS with this client: {reason}; TLS 1.2 or 1.3 has to be enabled there")]
    NoCommonTls {
        /// Why.
        reason: String,
    },
    /// We have shown no certificate, or not one it takes.
    #[error(
        "refuses this client's certificate ({alert}): name a certificate that its authorities have signed, and its key \
         (certificate-file, key-file)"
    )]
    ClientCertificate {
        /// What it says.
        alert: String,
    },
    /// TLS was expected.
    #[error("speaks plain text there, not TLS: use the security protocol PLAINTEXT or SASL_PLAINTEXT, or another port")]
    SpeaksPlainText,
    /// Plain text was expected.
    #[error("speaks TLS there: use the security protocol SSL or SASL_SSL, or another port")]
    SpeaksTls,
    /// Nobody was to be authenticated.
    #[error(
        "asks for SASL there: use the security protocol SASL_PLAINTEXT or SASL_SSL with a user and one of its mechanisms \
         ({offered}), or another port"
    )]
    AsksForSasl {
        /// Its mechanisms.
        offered: String,
    },
    /// It does not authenticate anybody.
    #[error("does not ask for SASL there: use the security protocol PLAINTEXT or SSL, or another port")]
    AsksForNoSasl,
    /// It has other mechanisms.
    #[error("does not offer the mechanism {mechanism}: choose one of those it offers ({offered})")]
    MechanismNotOffered {
        /// What we wanted.
        mechanism: Mechanism,
        /// What it has.
        offered: String,
    },
    /// It does not believe us.
    #[error(
        "does not accept user {user} with this password by {mechanism} ({words}): check user and password, and that the \
         user has a password for this mechanism there"
    )]
    WrongCredentials {
        /// By which mechanism.
        mechanism: Mechanism,
        /// As whom we came.
        user: String,
        /// Its own words.
        words: String,
    },
    /// We do not believe it.
    #[error(
        "does not prove that it knows the password ({reason}): it may be somebody else who stands in for the cluster; \
         check the address, and use TLS"
    )]
    ServerNotProven {
        /// What is wrong with its proof.
        reason: String,
    },
}

impl SecurityFault {
    /// What an error of a stream tells about it; `None` when it is nothing that stays.
    pub(in crate::client) fn of_stream(error: &io::Error, name: &str) -> Option<Self> {
        let inner = error.get_ref()?;
        let known = inner.downcast_ref::<Self>().cloned();
        known.or_else(|| inner.downcast_ref::<rustls::Error>().and_then(|error| Self::of_tls(error, name)))
    }

    fn of_tls(error: &rustls::Error, name: &str) -> Option<Self> {
        match error {
            rustls::Error::InvalidCertificate(error) => Some(Self::of_certificate(error, name)),
            rustls::Error::AlertReceived(alert) if is_about_certificates(*alert) => {
                Some(Self::ClientCertificate { alert: format!("{alert:?}") })
            }
            rustls::Error::AlertReceived(AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion)
            | rustls::Error::PeerIncompatible(_) => Some(Self::NoCommonTls { reason: error.to_string() }),
            _ => None,
        }
    }

    fn of_certificate(error: &CertificateError, name: &str) -> Self {
        match error {
            // An authority of the same name signs with another key.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownAuthority,
            error if is_about_the_name(error) => Self::WrongName { name: name.to_owned() },
            error => Self::BadCertificate { reason: error.to_string() },
        }
    }
}

/// Whether everything else is right with the certificate.
pub(super) const fn is_about_the_name(error: &CertificateError) -> bool {
    matches!(error, CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. })
}

const fn is_about_certificates(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::CertificateRequired
            | AlertDescription::NoCertificate
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
    )
}
