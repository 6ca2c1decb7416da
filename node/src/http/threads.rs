//! The threads that serve HTTP: their own, so that however much is asked of the node, its network
//! and its consensus have theirs.

use std::{
    fmt,
    future::Future,
    io,
    num::NonZero,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    runtime::{Builder, Runtime},
    sync::watch,
    task::JoinHandle,
};

use super::{HttpContext, HttpError, HttpListeners};

/// Most threads that may be configured: more than any machine that serves one node has cores for.
pub const MAX_HTTP_WORKERS: usize = 256;

/// Threads that serve HTTP.
pub struct HttpThreads(Option<Runtime>);

impl fmt::Debug for HttpThreads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpThreads")
    }
}

impl HttpThreads {
    /// So many threads; as many as the machine has cores when it is not said. Those that have
    /// nothing to do cost nothing, and a request is not handed from one to another.
    ///
    /// # Errors
    ///
    /// [`HttpError::Workers`] when the system gives none.
    pub fn start(workers: Option<usize>) -> Result<Self, HttpError> {
        let cores = || std::thread::available_parallelism().map_or(1, NonZero::get);
        let runtime = Builder::new_multi_thread()
            .worker_threads(workers.unwrap_or_else(cores).clamp(1, MAX_HTTP_WORKERS))
            .thread_name("http")
            .enable_all()
            .build();
        Ok(Self(Some(runtime.map_err(HttpError::Workers)?)))
    }

    /// Serves on them, as [`HttpListeners::serve`] does.
    #[must_use]
    pub fn serve(
        &self,
        listeners: HttpListeners,
        context: HttpContext,
        shutdown: watch::Receiver<bool>,
    ) -> Serving {
        let runtime = self.0.as_ref().expect("it is taken only when this is dropped");
        Serving(runtime.spawn(listeners.serve(context, shutdown)))
    }
}

impl Drop for HttpThreads {
    /// Open requests were answered before; what still waits on a worker is of no use to anybody.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// HTTP that is being served: resolves when it ends.
#[derive(Debug)]
pub struct Serving(JoinHandle<Result<(), HttpError>>);

impl Future for Serving {
    type Output = Result<(), HttpError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let ended = Pin::new(&mut self.0).poll(cx);
        ended.map(|ended| ended.unwrap_or_else(|e| Err(HttpError::Serve(io::Error::other(e)))))
    }
}
