//! Reading the database for an answer: at one height, in a place among others, and never so that a
//! disk holds up who else is served.
//!
//! A short read whose data the database has in memory is made at once, by the thread that serves
//! the request: handing it to another one would cost more than the read. All others are made on
//! blocking threads.

use super::{Server, error::Problem, limits::Gate};
use crate::storage::{Store, View};

impl Server {
    /// As [`Server::read`], in the operator's own places.
    pub(super) async fn read_for_operator<T, F>(&self, look: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: FnOnce(&View<'_>) -> Result<T, Problem> + Send + 'static,
    {
        let store = self.context.store.clone();
        self.operator_reads.run(move || noting(&store, look)).await
    }

    /// Reads from one snapshot, on a blocking thread.
    pub(super) async fn read<T, F>(&self, look: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: FnOnce(&View<'_>) -> Result<T, Problem> + Send + 'static,
    {
        let store = self.context.store.clone();
        self.reads.run(move || noting(&store, look)).await
    }

    /// As [`Server::read`], for verifying presentations.
    pub(super) async fn check<T, F>(&self, look: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: FnOnce(&View<'_>) -> Result<T, Problem> + Send + 'static,
    {
        let store = self.context.store.clone();
        self.checks.run(move || noting(&store, look)).await
    }

    /// As [`Server::read`], at once where memory has it all: for what takes well below a
    /// millisecond then. `look` is called again where it has not, so it changes nothing before it
    /// has read everything.
    pub(super) async fn glance<T, F>(&self, look: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: Fn(&View<'_>) -> Result<T, Problem> + Send + 'static,
    {
        if let Some(answer) = self.at_once(&self.reads, &look) {
            return answer;
        }
        self.read(look).await
    }

    /// As [`Server::glance`], for verifying presentations.
    pub(super) async fn check_at_once<T, F>(&self, look: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: Fn(&View<'_>) -> Result<T, Problem> + Send + 'static,
    {
        if let Some(answer) = self.at_once(&self.checks, &look) {
            return answer;
        }
        self.check(look).await
    }

    /// Nothing when all places are taken, or when something would have to come from the disk.
    fn at_once<T>(
        &self,
        gate: &Gate,
        look: impl Fn(&View<'_>) -> Result<T, Problem>,
    ) -> Option<Result<T, Problem>> {
        let _place = gate.enter_at_once()?;
        let store = &self.context.store;
        // What is wrong with it, if anything is, a reader of the disk will say.
        let view = store.view_of_memory().ok()?;
        let answer = look(&view);
        if answer.is_err() && view.has_missed() {
            return None;
        }
        Some(noted(store, answer))
    }
}

/// Reads from one snapshot.
fn noting<T>(
    store: &Store,
    look: impl FnOnce(&View<'_>) -> Result<T, Problem>,
) -> Result<T, Problem> {
    noted(store, store.view().map_err(Problem::from).and_then(|view| look(&view)))
}

/// A database that fails stops the node, also when a caller meets it first.
fn noted<T>(store: &Store, answer: Result<T, Problem>) -> Result<T, Problem> {
    if let Err(Problem { fault: Some(fault), .. }) = &answer {
        store.note_fault(fault);
    }
    answer
}
