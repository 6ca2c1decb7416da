//! Threads for what takes the processor: blocks that are built and examined, transactions that are
//! tried.
//!
//! They are those of a tokio runtime, which sleep when there is nothing to do. Threads of rayon look
//! for work for a while first, and under a light load that took a tenth of a node's processor time.
//! What is large enough for several cores is spread over them by rayon, from in here.

use std::{sync::LazyLock, thread};

use tokio::runtime::{Builder, Runtime};

static WORKERS: LazyLock<Runtime> = LazyLock::new(|| {
    let runtime = Builder::new_multi_thread().worker_threads(count()).thread_name("worker").build();
    runtime.expect("the system gives a thread for each of its cores")
});

/// How many there are: one for each core.
pub(crate) fn count() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Does this on one of them, after what was asked for before. A panic in it ends the process: whoever
/// waits for its answer would wait for ever.
pub(crate) fn spawn(job: impl FnOnce() + Send + 'static) {
    drop(WORKERS.spawn(async {
        let whole = AbortOnPanic;
        job();
        drop(whole);
    }));
}

struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            std::process::abort();
        }
    }
}
