//! Users, permissions, TLS.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use super::super::access::tests::user;
use super::*;

/// A CONNECT with a name and a password.
fn connect_as(client_id: &str, name: &str, password: &str, version: u8) -> Vec<u8> {
    let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', version, 0b1100_0010, 0, 0];
    if version == 5 {
        body.push(0);
    }
    for text in [client_id, name, password] {
        body.extend([0, text.len() as u8]);
        body.extend_from_slice(text.as_bytes());
    }
    [&[0x10, body.len() as u8], &body[..]].concat()
}

async fn guarded(folder: Option<std::path::PathBuf>, users: Vec<User>) -> Bench {
    Bench::of(EndpointConfig {
        users,
        refused_filters: vec!["secret".into()],
        folder,
        ..here()
    })
    .await
}

#[tokio::test]
async fn a_user_does_what_it_may_and_nothing_else() {
    let users = vec![user(
        "press",
        &["plant/{user}"],
        &["cmd/{client}/#", "secret"],
    )];
    let mut bench = guarded(None, users).await;
    for (packet, code) in [
        (connect_as("c", "press", "wrong", 4), 4),
        (connect_as("c", "nobody", "press-secret", 4), 4),
        (connect("c", 0), 4),
    ] {
        let mut raw = bench.raw().await;
        raw.send(&packet).await;
        raw.expect(&[0x20, 2, 0, code]).await;
    }
    let mut refused = bench.raw().await;
    refused.send(&connect_as("c", "press", "wrong", 5)).await;
    refused.expect(&[0x20, 3, 0, 0x86, 0]).await;

    let mut old = bench.raw().await;
    old.send(&connect_as("c", "press", "press-secret", 4)).await;
    old.expect(&[0x20, 2, 0, 0]).await;
    for (filter, answer) in [
        ("cmd/c/x", 1),
        ("cmd/c/#", 1),
        ("cmd/d/x", 0x80),
        ("#", 0x80),
        ("$share/g/cmd/c/x", 1),
        ("$share/g/cmd/d/x", 0x80),
        ("secret", 0x80),
    ] {
        old.send(&subscribe(filter, 1)).await;
        old.expect(&[0x90, 3, 0, 9, answer]).await;
    }
    old.send(&publish("plant/press", "1", 1, 1)).await;
    assert_eq!(bench.confirm(1).await, ["plant/press=1"]);
    old.expect(&[0x40, 2, 0, 1]).await;
    // Unnoticed at quality of service 0; else there is no way to say no but to close.
    old.send(&publish("plant/other", "2", 0, 0)).await;
    old.expect_nothing().await;
    old.send(&publish("plant/other", "2", 1, 2)).await;
    assert_eq!(old.rest().await, NOTHING);
    bench.closed_for(CloseReason::NotAuthorized).await;

    let mut new = bench.raw().await;
    new.send(&connect_as("c", "press", "press-secret", 5)).await;
    assert_eq!(new.packet().await[3], 0);
    for (first, answer) in [(0x32, 0x40), (0x34, 0x50)] {
        let packet = [&[first, 16, 0, 11], &b"plant/other"[..], &[0, 3, 0]].concat();
        new.send(&packet).await;
        new.expect(&[answer, 3, 0, 3, 0x87]).await;
    }
    let packet = [&[0x82, 11, 0, 9, 0, 0, 5], &b"cmd/d"[..], &[0]].concat();
    new.send(&packet).await;
    new.expect(&[0x90, 4, 0, 9, 0, 0x87]).await;
    let packet = [&[0x82, 12, 0, 9, 0, 0, 6], &b"secret"[..], &[0]].concat();
    new.send(&packet).await;
    new.expect(&[0x90, 4, 0, 9, 0, 0x80]).await;
    assert!(bench.deliveries.try_recv().is_err());
    assert_eq!(bench.endpoint.stats().denied_publishes, 4);
}

#[tokio::test]
async fn a_session_belongs_to_its_user_and_goes_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Some(dir.path().join("mqtt"));
    let kept = |name: &str| {
        let mut packet = connect_as("c", name, &format!("{name}-secret"), 4);
        packet[9] &= !2;
        packet
    };
    {
        let users = vec![user("a", &[], &["x", "y"]), user("b", &[], &["#"])];
        let bench = guarded(folder.clone(), users).await;
        let mut raw = bench.raw().await;
        raw.send(&kept("a")).await;
        raw.expect(&[0x20, 2, 0, 0]).await;
        for filter in ["x", "y"] {
            raw.send(&subscribe(filter, 1)).await;
            raw.expect(&[0x90, 3, 0, 9, 1]).await;
        }
        let mut thief = bench.raw().await;
        thief.send(&kept("b")).await;
        thief.expect(&[0x20, 2, 0, 5]).await;
        raw.expect_nothing().await;
    }
    {
        // A right that was taken away takes its subscription along.
        let users = vec![user("a", &["#"], &["x"])];
        let mut bench = guarded(folder.clone(), users).await;
        let mut raw = bench.raw().await;
        raw.send(&kept("a")).await;
        raw.expect(&[0x20, 2, 1, 0]).await;
        for topic in ["y", "x"] {
            raw.send(&publish(topic, "1", 0, 0)).await;
        }
        bench.confirm(2).await;
        raw.expect(&publish("x", "1", 0, 0)).await;
    }
    let bench = guarded(folder, vec![user("b", &[], &[])]).await;
    assert_eq!(bench.endpoint.stats().sessions, 0, "nobody's any more");
}

/// An authority, and files with certificates that it signed.
struct Authority {
    dir: tempfile::TempDir,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(dir.path().join("ca.pem"), certificate.pem()).unwrap();
        let issuer = rcgen::Issuer::new(params, key);
        Self { dir, issuer }
    }

    /// The files of a certificate for `name` and its key.
    fn sign(&self, name: &str) -> (std::path::PathBuf, std::path::PathBuf) {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let file = |kind: &str| self.dir.path().join(format!("{name}.{kind}"));
        std::fs::write(file("pem"), certificate.pem()).unwrap();
        std::fs::write(file("key"), key.serialize_pem()).unwrap();
        (file("pem"), file("key"))
    }

    fn ca(&self) -> std::path::PathBuf {
        self.dir.path().join("ca.pem")
    }
}

/// Speaks TLS, sends a CONNECT and a publish, and says what came back.
async fn over_tls(
    address: SocketAddr,
    trusted: &Authority,
    own: Option<(std::path::PathBuf, std::path::PathBuf)>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> std::io::Result<Vec<u8>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(trusted.ca()).unwrap())
        .unwrap();
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    let config = match own {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => builder
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_file(certificate).unwrap()],
                PrivateKeyDer::from_pem_file(key).unwrap(),
            )
            .unwrap(),
    };
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = connector.connect(name, stream).await?;
    stream.write_all(&connect("c", 0)).await?;
    stream.write_all(&publish("a", "1", 1, 9)).await?;
    let mut answer = vec![0; 8];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn tls_is_spoken_and_a_certificate_can_be_asked_for() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let (certificate_file, key_file) = ours.sign("localhost");
    for client_ca_file in [None, Some(ours.ca())] {
        let mutual = client_ca_file.is_some();
        let mut bench = Bench::of(EndpointConfig {
            tls: Some(TlsConfig {
                listen: ([127, 0, 0, 1], 0).into(),
                certificate_file: certificate_file.clone(),
                key_file: key_file.clone(),
                client_ca_file,
            }),
            ..here()
        })
        .await;
        let address = bench.endpoint.tls_addr().unwrap();
        let told = [0x20, 2, 0, 0, 0x40, 2, 0, 9];
        for versions in [&[&rustls::version::TLS12][..], &[&rustls::version::TLS13]] {
            for (own, welcome) in [
                (None, !mutual),
                (Some(theirs.sign("device")), !mutual),
                (Some(ours.sign("device")), true),
            ] {
                let speaking = over_tls(address, &ours, own, versions);
                let answer = if welcome {
                    let (answer, _) = tokio::join!(within(speaking), bench.confirm(1));
                    answer
                } else {
                    within(speaking).await
                };
                assert_eq!(answer.ok(), welcome.then(|| told.to_vec()), "{mutual}");
            }
        }
        assert!(
            over_tls(address, &theirs, None, rustls::ALL_VERSIONS)
                .await
                .is_err()
        );
        let mut plain = Raw(TcpStream::connect(address).await.unwrap());
        plain.send(&connect("c", 0)).await;
        // An alert of TLS at most.
        assert!(!plain.rest().await.starts_with(&[0x20]));
        bench.closed_for(CloseReason::TlsFailed).await;
        bench.raw().await.send(&connect("c", 0)).await;
    }
}

#[tokio::test]
async fn unusable_files_are_told_by_name() {
    let ours = Authority::new("ours");
    let (certificate_file, key_file) = ours.sign("localhost");
    let (_, other_key) = ours.sign("other");
    let config = |certificate_file: &std::path::Path, key_file: &std::path::Path| EndpointConfig {
        tls: Some(TlsConfig {
            listen: ([127, 0, 0, 1], 0).into(),
            certificate_file: certificate_file.to_owned(),
            key_file: key_file.to_owned(),
            client_ca_file: None,
        }),
        ..here()
    };
    let missing = ours.dir.path().join("missing.pem");
    for (config, told) in [
        (config(&missing, &key_file), "missing.pem"),
        (config(&certificate_file, &missing), "missing.pem"),
        (config(&key_file, &key_file), "localhost.key"),
        (config(&certificate_file, &other_key), "fit together"),
    ] {
        let (intake, _deliveries) = mpsc::channel(1);
        let error = Endpoint::start(config, intake, Arc::new(RealClock))
            .await
            .unwrap_err();
        assert!(error.to_string().contains(told), "{error}");
    }
}
