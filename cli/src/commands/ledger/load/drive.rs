//! The loop: begins what is due, and sees each transaction through.
//!
//! One thread does all of it but keeping time: a second one sleeps until the next start is due, since
//! the event loop's own clock is a millisecond coarse. Nothing is left out when this program is late:
//! what was due meanwhile is begun at once, and its latency counts from when it was due.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use hyper::body::Bytes;
use symbolon_ledger::hash::TransactionId;
use tokio::{
    sync::{Notify, mpsc},
    task::{spawn_local, yield_now},
    time::sleep,
};

use super::{
    agency::{Agency, Prepared},
    curve::Curve,
    plan::Plan,
    tally::{Commit, Counts, Kept, Totals},
    wire::{Said, Wire},
};
use crate::output::Failure;

/// Starts that are due within so short a time are begun together: the clock wakes the client no
/// oftener.
const STEP: Duration = Duration::from_micros(500);
/// How often the clock looks whether the load was stopped.
const LOOK: Duration = Duration::from_millis(100);
/// Messages of the clock that may wait for the client.
const DUE: usize = 64;
/// Pause before a node that did not answer, or has not committed yet, is asked again.
const PAUSE: Duration = Duration::from_millis(500);

/// A load under way.
#[derive(Debug)]
pub(super) struct Load {
    plan: Plan,
    wires: Rc<[Wire]>,
    agencies: Rc<[RefCell<Agency>]>,
    totals: RefCell<Totals>,
    /// Transactions that wait for their receipts.
    in_flight: Cell<usize>,
    submitted: Cell<u64>,
    /// Nothing waits any more.
    quiet: Notify,
    begun: Instant,
}

/// A transaction on its way.
struct Job {
    prepared: Prepared,
    /// The place of its agency.
    agency: usize,
    /// When it was to be begun.
    intended: Duration,
}

impl Load {
    /// A load that begins now.
    pub(super) fn new(plan: Plan, wires: Rc<[Wire]>, agencies: Rc<[RefCell<Agency>]>) -> Rc<Self> {
        let totals = RefCell::new(Totals::new(&plan));
        Rc::new(Self {
            plan,
            wires,
            agencies,
            totals,
            in_flight: Cell::new(0),
            submitted: Cell::new(0),
            quiet: Notify::new(),
            begun: Instant::now(),
        })
    }

    /// How many wait.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.get()
    }

    /// Since it began.
    pub(super) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// What is counted.
    pub(super) fn totals(&self) -> &RefCell<Totals> {
        &self.totals
    }

    /// Begins the transaction of this number, if it may be begun; whether it was.
    fn begin(self: &Rc<Self>, number: u64) -> Result<bool, Failure> {
        let intended = self.plan.intended(number);
        let mut totals = self.totals.borrow_mut();
        totals.note(intended, |c| c.offered += 1);
        if self.in_flight.get() >= self.plan.in_flight {
            totals.note(intended, |c| c.dropped += 1);
            return Ok(false);
        }
        let agencies = self.agencies.len() as u64;
        let (turn, place) = (number / agencies, number % agencies);
        let agency = usize::try_from(place).unwrap_or_default();
        let late = self.begun.elapsed().saturating_sub(intended);
        let Some(prepared) = self.agencies[agency].borrow_mut().next(&self.plan, turn)? else {
            totals.note(intended, |c| c.without_stock += 1);
            return Ok(false);
        };
        totals.submitted(intended, late);
        self.in_flight.set(self.in_flight.get() + 1);
        self.submitted.set(self.submitted.get() + 1);
        let (load, job) = (Rc::clone(self), Job { prepared, agency, intended });
        spawn_local(async move {
            load.carry(job).await;
            load.in_flight.set(load.in_flight.get() - 1);
            if load.in_flight.get() == 0 {
                load.quiet.notify_one();
            }
        });
        Ok(true)
    }

    /// Sends a transaction, the same bytes each time, until it is committed or refused, or has taken
    /// too long.
    async fn carry(&self, job: Job) {
        let Job { prepared, agency, intended } = job;
        let transaction = &prepared.transaction;
        let (id, bytes) = (transaction.id(), Bytes::copy_from_slice(transaction.as_bytes()));
        let name = id.to_string();
        let wire = &self.wires[self.agencies[agency].borrow().node];
        let (mut is_first, mut was_doubted) = (true, false);
        loop {
            let said = wire.submit(&name, &bytes).await;
            let note = |count: fn(&mut Counts)| {
                self.totals.borrow_mut().note(intended, count);
            };
            let pause = match said {
                Said::Committed { height, receipt } => {
                    return self.committed(Job { prepared, agency, intended }, id, height, receipt);
                }
                Said::Refused(code) if is_first || was_doubted => {
                    self.totals.borrow_mut().refused(intended, code);
                    return;
                }
                // It was sent before and may be in a block already, which the node says when it is
                // asked once more.
                Said::Refused(_) => {
                    was_doubted = true;
                    PAUSE
                }
                Said::Pending => {
                    note(|c| c.pending += 1);
                    PAUSE
                }
                Said::Busy(retry_after) => {
                    note(|c| c.busy += 1);
                    retry_after.unwrap_or(PAUSE)
                }
                Said::Nothing => {
                    note(|c| c.silent += 1);
                    PAUSE
                }
            };
            if self.elapsed().saturating_sub(intended) + pause > self.plan.patience {
                note(|c| c.timed_out += 1);
                return;
            }
            is_first = false;
            sleep(pause).await;
        }
    }

    fn committed(&self, job: Job, id: TransactionId, height: u64, receipt: Vec<u8>) {
        let Job { prepared, agency, intended } = job;
        let at = self.elapsed();
        let signature_hash = prepared.transaction.signature_hash();
        let kept = Kept { id, signature_hash, receipt };
        let commit = Commit {
            height,
            issued: prepared.issues,
            revoked: prepared.revokes,
            at,
            latency: at.saturating_sub(intended),
            kept,
        };
        self.agencies[agency].borrow_mut().committed(height, prepared.licences);
        self.totals.borrow_mut().committed(intended, commit);
    }
}

/// Drives a load to its end, and gives what was counted. `stop` ends it early.
///
/// # Errors
///
/// When something cannot be signed, or the curve cannot be written.
pub(super) async fn drive(
    load: &Rc<Load>,
    stop: Arc<AtomicBool>,
    curve: Option<&mut Curve>,
) -> Result<Totals, Failure> {
    let (say, due) = mpsc::channel(DUE);
    let (plan, begun) = (load.plan.clone(), load.begun);
    thread::spawn(move || keep_time(&plan, begun, &stop, &say));
    let work = async {
        arrive(load, due).await?;
        while load.in_flight.get() > 0 {
            load.quiet.notified().await;
        }
        Ok::<_, Failure>(())
    };
    match curve {
        None => work.await?,
        Some(curve) => {
            tokio::select! {
                ended = work => ended?,
                failure = curve.draw(load) => return Err(failure),
            }
            curve.line(load)?;
        }
    }
    Ok(load.totals.replace(Totals::new(&load.plan)))
}

/// Begins what is due until the clock ends, or enough were submitted.
async fn arrive(load: &Rc<Load>, mut due: mpsc::Receiver<u64>) -> Result<(), Failure> {
    let (mut number, mut enough) = (0, false);
    while !enough && let Some(end) = due.recv().await {
        while !enough && number < end {
            if load.begin(number)? {
                // What was answered meanwhile is read before the next is signed.
                yield_now().await;
            }
            number += 1;
            enough = load.submitted.get() >= load.plan.count;
        }
    }
    load.totals.borrow_mut().arrivals_ended(load.elapsed(), enough);
    Ok(())
}

/// Says how many transactions have been due, whenever it is one more.
fn keep_time(plan: &Plan, begun: Instant, stop: &AtomicBool, say: &mpsc::Sender<u64>) {
    let mut number = 0;
    while plan.intended(number) < plan.span && !stop.load(Relaxed) {
        let (next, now) = (plan.intended(number), begun.elapsed());
        if next > now {
            thread::sleep((next - now).clamp(STEP, LOOK));
            continue;
        }
        while plan.intended(number) <= now && plan.intended(number) < plan.span {
            number += 1;
        }
        // Nobody wants more.
        if say.blocking_send(number).is_err() {
            return;
        }
    }
}
