//! HTTPS, with a certificate that only this test trusts (its key in `tls/` protects nothing).

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use symbolon_node::http::{HttpAddresses, HttpListeners, TlsFiles};

use crate::support::Node;

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/http/tls").join(name)
}

/// The certificate's key, in a file of this mode.
fn key_of_mode(folder: &Path, mode: u32) -> PathBuf {
    let path = folder.join(format!("key-{mode:o}.pem"));
    std::fs::copy(file("key.pem"), &path).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    path
}

fn connect(to: SocketAddr) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(file("certificate.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    StreamOwned::new(connection, TcpStream::connect(to).unwrap())
}

#[test]
fn with_a_certificate_the_node_speaks_https_only() {
    let folder = tempfile::tempdir().unwrap();
    let key = key_of_mode(folder.path(), 0o640);
    let node = Node::start_encrypted(TlsFiles { certificate: file("certificate.pem"), key });
    let mut stream = connect(node.public);
    let head = b"GET /v1/status HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(head).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("chain_id"));

    let mut plain = TcpStream::connect(node.public).unwrap();
    plain.write_all(head).unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/"), "plain HTTP was answered");
}

#[test]
fn a_key_that_is_not_the_certificates_is_refused_before_anything_listens() {
    let loopback: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("key.pem");
    let key = symbolon_ledger::keys::SecretKey::from_seed(&[5; 32]);
    std::fs::write(&other, key.to_pem().as_bytes()).unwrap();
    std::fs::set_permissions(&other, PermissionsExt::from_mode(0o600)).unwrap();
    let own = key_of_mode(folder.path(), 0o600);
    let everybodys = key_of_mode(folder.path(), 0o644);
    for (certificate, key, expected) in [
        (file("certificate.pem"), other, "key"),
        (file("key.pem"), own, ""),
        (file("certificate.pem"), file("certificate.pem"), ""),
        (file("certificate.pem"), everybodys, "every user of this machine may read it"),
    ] {
        let tls = Some(TlsFiles { certificate, key });
        let addresses =
            HttpAddresses { public: loopback, admin: loopback, tls, insecure_public: false };
        let error = HttpListeners::bind(&addresses).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("TLS file") && text.contains(expected), "{text}");
    }
}
