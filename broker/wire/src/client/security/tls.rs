use super::fault::is_about_the_name;
use super::probe::host_of;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What TLS to a cluster is made of; PEM files all.
#[derive(Clone, Debug, Default)]
pub struct TlsFiles {
    /// The certificates of the authorities that are trusted; `None`: those the system trusts.
    pub authorities: Option<PathBuf>,
    /// Our own certificate, with those between it and the authority, and its key: for clusters that ask for one.
    pub own: Option<(PathBuf, PathBuf)>,
    /// Whether any name in a certificate of a trusted authority is good enough.
    pub any_name: bool,
}

/// Why TLS cannot be prepared.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or holds something else.
    #[error("{}: {reason}; it has to hold {expected} in PEM form", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What should be in it.
        expected: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The system has no certificates of authorities.
    #[error("this system trusts no authority ({reason}); name a file with the certificate of the cluster's (ca-file)")]
    NoAuthorities {
        /// Why.
        reason: String,
    },
    /// Certificate and key do not belong together, or are of a kind that is not supported.
    #[error("{} and {} cannot be used together: {source}", certificate.display(), key.display())]
    Own {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of its key.
        key: PathBuf,
        /// What is wrong.
        source: Error,
    },
    /// Anything else.
    #[error(transparent)]
    Tls(#[from] Error),
}

/// TLS as a client, ready for use.
#[derive(Clone)]
pub struct Tls(Arc<ClientConfig>);

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// TLS 1.2 and 1.3 with what `files` hold; they are read once.
    ///
    /// # Errors
    /// When a file cannot be read or holds something else.
    pub fn new(files: &TlsFiles) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let roots = Arc::new(authorities(files.authorities.as_deref())?);
        let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
        let builder = match files.any_name {
            false => builder.with_root_certificates(roots),
            true => builder.dangerous().with_custom_certificate_verifier(AnyName::of(roots, provider)?),
        };
        let config = match &files.own {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let pair = (certificates(certificate)?, private_key(key)?);
                let refused = |source| TlsError::Own { certificate: certificate.clone(), key: key.clone(), source };
                builder.with_client_auth_cert(pair.0, pair.1).map_err(refused)?
            }
        };
        Ok(Self(Arc::new(config)))
    }

    pub(super) async fn connect(&self, peer: &str, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host_of(peer).to_owned()).map_err(io::Error::other)?;
        TlsConnector::from(self.0.clone()).connect(name, stream).await
    }
}

fn authorities(file: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let Some(path) = file else {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        let reason = || found.errors.first().map_or_else(|| "none is there".to_owned(), ToString::to_string);
        return if roots.is_empty() { Err(TlsError::NoAuthorities { reason: reason() }) } else { Ok(roots) };
    };
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| fault(path, CERTIFICATES, error.to_string()))?;
    }
    Ok(roots)
}

const CERTIFICATES: &str = "one or more certificates";

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, pem::Error>>);
    let found = read.map_err(|error| fault(path, CERTIFICATES, reason(error)))?;
    if found.is_empty() { Err(fault(path, CERTIFICATES, "it holds none".to_owned())) } else { Ok(found) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let read = PrivateKeyDer::from_pem_file(path);
    read.map_err(|error| fault(path, "a private key without a passphrase", reason(error)))
}

fn fault(path: &Path, expected: &'static str, reason: String) -> TlsError {
    TlsError::File { path: path.to_owned(), expected, reason }
}

fn reason(error: pem::Error) -> String {
    match error {
        pem::Error::Io(error) => error.to_string(),
        pem::Error::NoItemsFound => "it holds none".to_owned(),
        other => other.to_string(),
    }
}

/// Accepts a certificate of a trusted authority whatever name is in it.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl AnyName {
    fn of(roots: Arc<RootCertStore>, provider: Arc<CryptoProvider>) -> Result<Arc<Self>, TlsError> {
        let built = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
        let verifier = built.map_err(|error| Error::General(error.to_string()))?;
        Ok(Arc::new(Self(verifier)))
    }
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // The name is looked at last: whoever gets as far has been found trustworthy.
        match self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(Error::InvalidCertificate(error)) if is_about_the_name(&error) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
