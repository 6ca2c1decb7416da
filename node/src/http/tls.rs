//! Connections: TLS when it is configured, a bound on their number in all and of one caller, an
//! end, and no patience with callers who take nothing.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum_server::{accept::Accept, tls_rustls::RustlsConfig};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Sleep,
};

use super::{
    HttpError,
    callers::{Callers, Held},
    limits::{MAX_CONNECTION_LIFE, WRITE_STALL_TIMEOUT},
};

/// A certificate and its key, in PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and its chain.
    pub certificate: PathBuf,
    /// The private key: PKCS#8, PKCS#1 or SEC 1.
    pub key: PathBuf,
}

impl TlsFiles {
    /// Reads both.
    ///
    /// # Errors
    ///
    /// [`HttpError::Tls`]: a file cannot be read, is not PEM, the key is not the certificate's, or
    /// is everybody's to read.
    pub(super) fn load(&self) -> Result<RustlsConfig, HttpError> {
        let at = |path: &Path, what: &dyn std::fmt::Display| HttpError::Tls {
            path: path.to_owned(),
            what: what.to_string(),
        };
        let chain = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(|certificates| certificates.collect::<Result<Vec<_>, _>>())
            .map_err(|e| at(&self.certificate, &e))?;
        // A group may share a certificate; the rest of the machine may not.
        let mode = std::fs::metadata(&self.key).map_err(|e| at(&self.key, &e))?.permissions();
        if mode.mode() & 0o007 != 0 {
            return Err(at(&self.key, &"every user of this machine may read it; run chmod o-rwx"));
        }
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|e| at(&self.key, &e))?;
        // Named outright: more than one provider may be linked in, and then rustls has no default.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| at(&self.certificate, &e))?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|e| at(&self.certificate, &e))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(RustlsConfig::from_config(Arc::new(config)))
    }
}

/// Refuses to offer plain HTTP to the world.
///
/// # Errors
///
/// [`HttpError::NotLoopback`].
pub(super) fn check_exposure(
    address: SocketAddr,
    tls: Option<&TlsFiles>,
    insecure_public: bool,
) -> Result<(), HttpError> {
    if address.ip().is_loopback() || tls.is_some() || insecure_public {
        Ok(())
    } else {
        Err(HttpError::NotLoopback(address))
    }
}

/// Refuses to offer the operator's interface to other machines: it has no TLS, and asks nobody
/// who he is.
///
/// # Errors
///
/// [`HttpError::AdminNotLoopback`].
pub(super) fn check_operator(address: SocketAddr) -> Result<(), HttpError> {
    let only_here = address.ip().is_loopback();
    only_here.then_some(()).ok_or(HttpError::AdminNotLoopback(address))
}

/// Takes connections while there are places.
#[derive(Debug, Clone)]
pub(super) struct Doorkeeper {
    /// Places in all.
    pub(super) places: Arc<Semaphore>,
    /// Places of one caller.
    pub(super) callers: Callers,
}

/// A connection's place among all, and among its caller's.
#[derive(Debug)]
struct Place {
    _place: OwnedSemaphorePermit,
    _held: Held,
}

impl Doorkeeper {
    fn place(&self, stream: &TcpStream) -> io::Result<Place> {
        let held = self.callers.take(stream.peer_addr()?.ip());
        let held = held.ok_or_else(|| io::Error::other("the caller has its share"))?;
        let place = self.places.clone().try_acquire_owned();
        let place = place.map_err(|_| io::Error::other("all connections are taken"))?;
        Ok(Place { _place: place, _held: held })
    }
}

impl<S: Send + 'static> Accept<TcpStream, S> for Doorkeeper {
    type Stream = Patient<TcpStream>;
    type Service = S;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Self::Stream, S)>> + Send>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let place = self.place(&stream);
        Box::pin(async move {
            let place = place?;
            stream.set_nodelay(true)?;
            let patience = (WRITE_STALL_TIMEOUT, MAX_CONNECTION_LIFE);
            Ok((Patient::new(stream, patience, place), service))
        })
    }
}

/// A connection that ends after [`MAX_CONNECTION_LIFE`], and when its peer takes no bytes for
/// [`WRITE_STALL_TIMEOUT`]. Reading is timed by hyper and by the handlers, which know when
/// something is due.
#[derive(Debug)]
pub(super) struct Patient<I> {
    inner: I,
    patience: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
    end: Pin<Box<Sleep>>,
    _place: Place,
}

impl<I> Patient<I> {
    fn new(inner: I, (patience, life): (Duration, Duration), place: Place) -> Self {
        let end = Box::pin(tokio::time::sleep(life));
        Self { inner, patience, stalled: None, end, _place: place }
    }

    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.stalled = None;
            return result;
        }
        let patience = self.patience;
        let deadline = || Box::pin(tokio::time::sleep(patience));
        ready!(self.stalled.get_or_insert_with(deadline).as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer takes nothing")))
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Patient<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.end.as_mut().poll(cx).is_ready() {
            // As if the peer had closed.
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Patient<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.watch(cx, result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_flush(cx);
        self.watch(cx, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.watch(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.watch(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::{super::callers::Share, *};

    #[test]
    fn plain_http_is_offered_to_this_machine_only_unless_told_otherwise() {
        let tls = TlsFiles { certificate: "c".into(), key: "k".into() };
        for (address, tls, insecure, expected) in [
            ("127.0.0.1:1", None, false, true),
            ("[::1]:1", None, false, true),
            ("0.0.0.0:1", None, false, false),
            ("192.0.2.1:1", None, false, false),
            ("192.0.2.1:1", None, true, true),
            ("192.0.2.1:1", Some(&tls), false, true),
        ] {
            let allowed = check_exposure(address.parse().unwrap(), tls, insecure).is_ok();
            assert_eq!(allowed, expected, "{address}");
        }
    }

    fn patient<I>(inner: I, patience: Duration, life: Duration) -> (Patient<I>, Arc<Semaphore>) {
        let places = Arc::new(Semaphore::new(1));
        let place = places.clone().try_acquire_owned().unwrap();
        let callers = Callers::new(Share { other_machine: 1, this_machine: 1 });
        let held = callers.take("192.0.2.1".parse().unwrap()).unwrap();
        let place = Place { _place: place, _held: held };
        (Patient::new(inner, (patience, life), place), places)
    }

    #[tokio::test]
    async fn a_peer_that_takes_nothing_is_let_go() {
        let (ours, _theirs) = tokio::io::duplex(16);
        let (mut patient, places) =
            patient(ours, Duration::from_millis(1), Duration::from_secs(3_600));
        let error = patient.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(patient);
        assert_eq!(places.available_permits(), 1);
    }

    #[tokio::test]
    async fn a_connection_ends_however_alive_its_peer_is() {
        let (ours, mut theirs) = tokio::io::duplex(16);
        let (mut patient, _places) =
            patient(ours, Duration::from_secs(3_600), Duration::from_millis(1));
        let peer = tokio::spawn(async move { while theirs.write_all(b"ping").await.is_ok() {} });
        while patient.read(&mut [0; 16]).await.unwrap() > 0 {}
        drop(patient);
        peer.await.unwrap();
    }
}
