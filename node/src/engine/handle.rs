//! Starting and stopping: the engine first, the network after it, the router last.
//!
//! [`start`] recovers before it returns, and what it returns beside the handle is the only way
//! to let the network's events in. So a node that contradicts its own log never opens a port.

use std::sync::mpsc::Receiver;

use symbolon_consensus::edge::Edge;
use tokio::sync::{mpsc, watch};

use super::{
    Engine, EngineError, EngineParts, EngineStatus, Event, height_start,
    queue::Queue,
    router::{self, Checks, Router, ToCheck},
    withheld::WITHHELD,
};
use crate::network::Receivers;

/// Name of the engine's thread, by which [`abort_on_panic`] knows it.
pub const THREAD: &str = "consensus";

/// Host contract 7: consensus asserts what must hold and panics on what cannot be; a node that
/// went on after that could contradict itself. `panic = "abort"` in the profile would build every
/// dependency a second time for the tests, so the thread's name decides.
pub fn abort_on_panic() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        default(info);
        if std::thread::current().name() == Some(THREAD) {
            std::process::abort();
        }
    }));
}

/// The running engine.
#[derive(Debug)]
pub struct EngineHandle {
    events: Queue,
    status: watch::Receiver<EngineStatus>,
    thread: std::thread::JoinHandle<Result<(), EngineError>>,
}

impl EngineHandle {
    /// What the engine last said of itself.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<EngineStatus> {
        self.status.clone()
    }

    /// Whether the engine has stopped.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Stops the engine and waits for it.
    ///
    /// # Errors
    ///
    /// Why it had stopped before.
    pub fn stop(self) -> Result<(), EngineError> {
        self.events.answer(Event::Stop);
        // A panic on this thread aborts the process, so there is none to join.
        self.thread.join().unwrap_or(Ok(()))
    }
}

/// What the engine hears of the outside, before it hears anything.
pub struct Outside {
    router: Router,
    edge: Edge,
    to_check: Receiver<ToCheck>,
}

impl std::fmt::Debug for Outside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outside").finish_non_exhaustive()
    }
}

impl Outside {
    #[cfg(test)]
    pub(super) fn queue(&self) -> Queue {
        self.router.events.clone()
    }

    /// Lets in what the network tells, each checked before it reaches the engine; `work` wakes it.
    ///
    /// # Errors
    ///
    /// When the system gives no more threads.
    pub fn listen(self, network: Receivers, work: mpsc::Receiver<()>) -> std::io::Result<()> {
        router::start(self.router, self.edge, self.to_check, network, work, WITHHELD)
    }
}

/// Starts the engine: recovers where it stopped, and then runs.
///
/// # Errors
///
/// [`EngineError`] when the tip, the log or the kept bodies cannot be read or do not belong
/// together.
// host contract 4: when this returns, replay is over; only then does the node open the network.
pub fn start(parts: EngineParts) -> Result<(EngineHandle, Outside), EngineError> {
    let (events, receiver) = Queue::new();
    let (status, status_receiver) = watch::channel(EngineStatus::default());
    let start = height_start(&parts.store)?;
    let (checks, to_check) = Checks::new();
    let outside = Outside {
        router: Router {
            events: events.clone(),
            checks: checks.clone(),
            pool: parts.pool.clone(),
            store: parts.store.clone(),
            network: parts.network.clone(),
        },
        edge: Edge::new(parts.store.chain_id(), &start),
        to_check,
    };
    let to_self = events.clone();
    let (ready, started) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new().name(THREAD.into()).spawn(move || {
        match Engine::recover(parts, start, to_self, receiver, status, checks) {
            Ok(engine) => {
                let _ = ready.send(Ok(()));
                engine.run()
            }
            Err(error) => {
                let _ = ready.send(Err(error));
                Ok(())
            }
        }
    })?;
    match started.recv() {
        Ok(Err(error)) => Err(error),
        _ => Ok((EngineHandle { events, status: status_receiver, thread }, outside)),
    }
}
