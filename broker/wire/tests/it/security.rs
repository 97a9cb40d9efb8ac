//! The client against brokers that want TLS and SASL, and against one that only pretends to be the cluster.

use crate::fake_broker::{Fake, Running};
use broker_wire::client::{
    ClientError, Cluster, Credentials, Mechanism, Options, Password, Security, SecurityFault, Tls, TlsFiles,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// A broker over TLS with a certificate for `name`, and the file with the certificate of its authority.
async fn broker_of(name: &str) -> (Running, PathBuf) {
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.distinguished_name.push(DnType::CommonName, format!("authority of {name}"));
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
    let broker = Running::start_with(Fake::default(), Some(TlsAcceptor::from(Arc::new(config)))).await;
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}.pem", broker.address.port()));
    std::fs::write(&path, authority.pem()).unwrap();
    (broker, path)
}

fn trusting(authorities: &Path, any_name: bool) -> Security {
    let files = TlsFiles { authorities: Some(authorities.to_owned()), any_name, own: None };
    Security { tls: Some(Tls::new(&files).unwrap()), credentials: None, probes: true }
}

async fn asked(broker: &Running, security: Security) -> Result<i32, ClientError> {
    let cluster = Cluster::new(&broker.address.to_string(), Options { security, ..Options::default() });
    cluster.metadata(None).await.map(|answer| answer.brokers[0].node_id)
}

fn fault(asked: Result<i32, ClientError>) -> SecurityFault {
    match asked {
        Err(ClientError::Security { fault, .. }) => fault,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_certificate_counts_by_its_authority_and_its_name() {
    let (broker, authority) = broker_of("127.0.0.1").await;
    let (stranger, elsewhere) = broker_of("elsewhere.example").await;
    assert_eq!(asked(&broker, trusting(&authority, false)).await.unwrap(), 1);
    for any_name in [false, true] {
        let told = fault(asked(&broker, trusting(&elsewhere, any_name)).await);
        assert_eq!(told, SecurityFault::UnknownAuthority, "whether names are looked at or not");
    }
    let told = fault(asked(&stranger, trusting(&elsewhere, false)).await);
    assert_eq!(told, SecurityFault::WrongName { name: "127.0.0.1".into() });
    assert_eq!(asked(&stranger, trusting(&elsewhere, true)).await.unwrap(), 1);
    assert_eq!(fault(asked(&broker, Security { probes: true, ..Security::default() }).await), SecurityFault::SpeaksTls);
    let plain = Running::start(Fake::default()).await;
    assert_eq!(fault(asked(&plain, trusting(&authority, false)).await), SecurityFault::SpeaksPlainText);
    [authority, elsewhere].iter().for_each(|path| std::fs::remove_file(path).unwrap());
}

#[tokio::test]
async fn who_does_not_know_the_password_is_not_taken_for_the_cluster() {
    let proof = "v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let cases =
        [(proof, 4096, "its signature is wrong"), ("v=", 4096, "its signature is wrong"), (proof, 1, "1 iterations")];
    for (verdict, iterations, expected) in cases {
        let impostor = Running::start(Fake { impostor: Some((verdict, iterations)), ..Fake::default() }).await;
        let mechanism = Mechanism::ScramSha256;
        let credentials = Credentials { mechanism, user: "link".into(), password: Password::new("pencil") };
        let told = fault(asked(&impostor, Security { credentials: Some(credentials), ..Security::default() }).await);
        assert!(matches!(told, SecurityFault::ServerNotProven { .. }) && told.to_string().contains(expected), "{told}");
    }
    let refusing = Running::start(Fake { impostor: Some(("e=unknown-user", 4096)), ..Fake::default() }).await;
    let credentials =
        Credentials { mechanism: Mechanism::ScramSha512, user: "link".into(), password: Password::new("pencil") };
    let told = fault(asked(&refusing, Security { credentials: Some(credentials), ..Security::default() }).await);
    assert!(told.to_string().contains("user link with this password by SCRAM-SHA-512 (unknown-user)"), "{told}");
}

#[test]
fn files_that_hold_something_else_are_named() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("empty-{}.pem", std::process::id()));
    std::fs::write(&path, "nothing of use").unwrap();
    let told = |files: TlsFiles| Tls::new(&files).unwrap_err().to_string();
    let files = TlsFiles { authorities: Some(path.clone()), ..TlsFiles::default() };
    assert!(told(files.clone()).contains("certificates in PEM form"), "{}", told(files));
    let files = TlsFiles { own: Some((path.clone(), path.clone())), ..TlsFiles::default() };
    assert!(told(files).contains(&path.display().to_string()));
    std::fs::remove_file(path).unwrap();
}
