//! What is counted, and how it is told.
//!
//! Latencies are kept one by one, in microseconds, so that quantiles are exact. They count from the
//! intended start to the receipt; the share that is this program's own (begun late) is counted apart.

use std::{collections::BTreeMap, time::Duration};

use nix::sys::resource::{UsageWho, getrusage};
use serde_json::{Value, json};
use symbolon_ledger::hash::{Digest, TransactionId};

use super::{plan::Plan, receipts::Checked};
use crate::entropy;

/// What happened, in numbers of transactions where nothing else is said.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    /// Were to be begun.
    pub(super) offered: u64,
    /// Were sent.
    pub(super) submitted: u64,
    /// Were not begun: too many waited.
    pub(super) dropped: u64,
    /// Were not begun: there were no slots for them, or no licences to revoke.
    pub(super) without_stock: u64,
    pub(super) committed: u64,
    /// Licences of those committed.
    pub(super) issued: u64,
    /// Licences that those committed revoked.
    pub(super) revoked: u64,
    pub(super) refused: u64,
    /// Answers of 503.
    pub(super) busy: u64,
    /// Answers that the block had not come yet.
    pub(super) pending: u64,
    /// Attempts without an answer that makes sense.
    pub(super) silent: u64,
    /// Were not committed in the time that a transaction may take.
    pub(super) timed_out: u64,
}

impl Counts {
    /// As members of an object.
    pub(super) fn json(&self) -> Value {
        json!({
            "offered": self.offered, "submitted": self.submitted, "dropped": self.dropped,
            "without_stock": self.without_stock, "committed": self.committed,
            "issued": self.issued, "revoked": self.revoked, "busy": self.busy,
            "pending": self.pending, "silent": self.silent, "timed_out": self.timed_out,
        })
    }
}

/// A receipt that is kept to be checked, and what it must be of.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) id: TransactionId,
    pub(super) signature_hash: Digest,
    pub(super) receipt: Vec<u8>,
}

/// A commit, as it is counted.
#[derive(Debug)]
pub(super) struct Commit {
    pub(super) height: u64,
    pub(super) issued: u64,
    pub(super) revoked: u64,
    /// Since the load began.
    pub(super) at: Duration,
    /// Since it was to be begun.
    pub(super) latency: Duration,
    pub(super) kept: Kept,
}

/// What was counted since it was last asked for, the warm-up included.
#[derive(Debug, Default)]
pub(super) struct Recent {
    pub(super) counts: Counts,
    /// In microseconds.
    pub(super) latencies: Vec<u32>,
    /// Transactions and their heights, where they are to be written down.
    pub(super) committed: Vec<(TransactionId, u64)>,
}

/// Receipts within the time over which a rate is formed.
#[derive(Debug, Clone, Copy, Default)]
struct Window {
    transactions: u64,
    operations: u64,
}

/// What was counted in one run.
#[derive(Debug)]
pub(super) struct Totals {
    warm_up: Duration,
    sample: usize,
    counts: Counts,
    /// The warm-up included.
    all: Counts,
    recent: Recent,
    keep_ids: bool,
    latencies: Vec<u32>,
    late: Vec<u32>,
    refused: BTreeMap<String, u64>,
    /// After the warm-up and before arrivals ended.
    steady: Window,
    /// After arrivals ended.
    drained: Window,
    /// When arrivals ended, and whether because enough were submitted.
    ended: Option<(Duration, bool)>,
    last_receipt: Duration,
    kept: Vec<Kept>,
    receipts: usize,
}

impl Totals {
    /// Nothing yet.
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            warm_up: plan.warm_up,
            sample: plan.check,
            counts: Counts::default(),
            all: Counts::default(),
            recent: Recent::default(),
            keep_ids: plan.keep_ids,
            latencies: Vec::new(),
            late: Vec::new(),
            refused: BTreeMap::new(),
            steady: Window::default(),
            drained: Window::default(),
            ended: None,
            last_receipt: Duration::ZERO,
            kept: Vec::new(),
            receipts: 0,
        }
    }

    /// What was counted after the warm-up.
    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The same, with the warm-up.
    pub(super) fn all(&self) -> &Counts {
        &self.all
    }

    /// Receipts to be checked.
    pub(super) fn kept(&self) -> &[Kept] {
        &self.kept
    }

    /// Counts something of the transaction that was to be begun at `intended`.
    pub(super) fn note(&mut self, intended: Duration, count: impl Fn(&mut Counts)) {
        count(&mut self.recent.counts);
        count(&mut self.all);
        if intended >= self.warm_up {
            count(&mut self.counts);
        }
    }

    /// One was sent, this much after its intended start.
    pub(super) fn submitted(&mut self, intended: Duration, late: Duration) {
        self.note(intended, |c| c.submitted += 1);
        if intended >= self.warm_up {
            self.late.push(micros(late));
        }
    }

    /// One was refused with this code.
    pub(super) fn refused(&mut self, intended: Duration, code: String) {
        self.note(intended, |c| c.refused += 1);
        if intended >= self.warm_up {
            *self.refused.entry(code).or_default() += 1;
        }
    }

    /// One is in a block.
    pub(super) fn committed(&mut self, intended: Duration, commit: Commit) {
        let Commit { height, issued, revoked, at, latency, kept } = commit;
        self.note(intended, |c| {
            c.committed += 1;
            c.issued += issued;
            c.revoked += revoked;
        });
        self.recent.latencies.push(micros(latency));
        if self.keep_ids {
            self.recent.committed.push((kept.id, height));
        }
        if intended >= self.warm_up {
            self.latencies.push(micros(latency));
        }
        self.last_receipt = self.last_receipt.max(at);
        if at >= self.warm_up {
            let window = if self.ended.is_none() { &mut self.steady } else { &mut self.drained };
            window.transactions += 1;
            window.operations += issued + revoked;
        }
        self.keep(kept);
    }

    /// Arrivals ended, `by_count` when enough were submitted.
    pub(super) fn arrivals_ended(&mut self, at: Duration, by_count: bool) {
        self.ended = self.ended.or(Some((at, by_count)));
    }

    /// What was counted since this was last asked for.
    pub(super) fn take_recent(&mut self) -> Recent {
        std::mem::take(&mut self.recent)
    }

    /// Keeps a sample in which each receipt has the same chance (Vitter's algorithm R).
    fn keep(&mut self, kept: Kept) {
        self.receipts += 1;
        if self.kept.len() < self.sample {
            self.kept.push(kept);
        } else if self.sample > 0
            && let Ok(place) = entropy::below(self.receipts)
            && let Some(other) = self.kept.get_mut(place)
        {
            *other = kept;
        }
    }

    /// Transactions and operations a second: receipts after the warm-up, while transactions were
    /// begun; where a number of them ended the load, up to the last receipt.
    fn rates(&self) -> (f64, f64) {
        let (end, by_count) = self.ended.unwrap_or((self.last_receipt, true));
        let (end, drained) = match by_count {
            true => (self.last_receipt, self.drained),
            false => (end, Window::default()),
        };
        let seconds = end.saturating_sub(self.warm_up).as_secs_f64();
        let rate = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        let (all, more) = (self.steady, drained);
        (rate(all.transactions + more.transactions), rate(all.operations + more.operations))
    }
}

/// Whole microseconds; about an hour when it was longer.
fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

/// The quantiles of `latencies` (in microseconds), in milliseconds; null without any.
pub(super) fn quantiles(latencies: &[u32]) -> Value {
    let mut sorted = latencies.to_vec();
    sorted.sort_unstable();
    let Some(last) = sorted.len().checked_sub(1) else { return Value::Null };
    let at = |percent: usize| f64::from(sorted[last * percent / 100]) / 1e3;
    json!({"p50": at(50), "p90": at(90), "p99": at(99), "max": at(100)})
}

/// Processor seconds that this program has used.
pub(super) fn cpu_seconds() -> f64 {
    let seconds = |t: nix::sys::time::TimeVal| t.tv_sec() as f64 + t.tv_usec() as f64 / 1e6;
    getrusage(UsageWho::RUSAGE_SELF)
        .map_or(0.0, |u| seconds(u.user_time()) + seconds(u.system_time()))
}

/// What a run came to.
#[derive(Debug)]
pub(super) struct Report<'a> {
    pub(super) plan: &'a Plan,
    pub(super) nodes: &'a [String],
    pub(super) totals: &'a Totals,
    pub(super) checked: &'a Checked,
    pub(super) cpu_seconds: f64,
}

impl Report<'_> {
    /// For programs.
    pub(super) fn json(&self) -> Value {
        let Self { plan, nodes, totals, checked, cpu_seconds } = self;
        let (transactions, operations) = totals.rates();
        let mut line = totals.counts.json();
        let more = json!({
            "kind": plan.kind.name(), "rate": plan.rate, "batch": plan.batch,
            "agencies": plan.agencies, "nodes": nodes, "in_flight": plan.in_flight,
            "refused": totals.refused,
            "committed_per_second": transactions, "licences_per_second": operations,
            "latency_ms": quantiles(&totals.latencies), "late_ms": quantiles(&totals.late),
            "client_cpu_seconds": cpu_seconds, "with_warm_up": totals.all.json(),
            "receipts": {"checked": checked.held, "not_checked": checked.not_checked,
                "wrong": checked.wrong},
        });
        if let (Value::Object(line), Value::Object(more)) = (&mut line, more) {
            line.extend(more);
        }
        line
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let Self { plan, nodes, totals, checked, cpu_seconds } = self;
        let counts = &totals.counts;
        let (transactions, operations) = totals.rates();
        let mut lines = vec![
            format!(
                "{}, {} a transaction, {} a second; {} through {}",
                plan.kind.name(),
                count(plan.batch as u64, "licence", "licences"),
                count(plan.rate.into(), "transaction", "transactions"),
                count(plan.agencies as u64, "agency", "agencies"),
                count(nodes.len() as u64, "node", "nodes"),
            ),
            format!("offered      {}", counts.offered),
            format!("submitted    {}", counts.submitted),
            format!("dropped      {} ({} waited already)", counts.dropped, plan.in_flight),
            format!("committed    {}", counts.committed),
        ];
        let others = [
            ("no stock", counts.without_stock),
            ("503", counts.busy),
            ("pending", counts.pending),
            ("no answer", counts.silent),
            ("timed out", counts.timed_out),
        ];
        let others = others.into_iter().filter(|(_, number)| *number > 0);
        lines.extend(others.map(|(what, number)| format!("{what:<12} {number}")));
        lines.extend(totals.refused.iter().map(|(code, n)| format!("refused      {n} {code}")));
        lines.push(format!("a second     {transactions:.1}, licences {operations:.1}"));
        lines.push(format!("latency ms   {}", spread(&totals.latencies)));
        lines.push(format!("of it late   {}", spread(&totals.late)));
        lines.push(format!("client       {cpu_seconds:.2} s of processor time"));
        lines.push(match (checked.held, checked.not_checked) {
            (held, 0) => format!("receipts     {held} checked, all good"),
            (held, others) => format!("receipts     {held} checked and good, {others} not checked"),
        });
        lines.join("\n")
    }
}

fn count(number: u64, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}

fn spread(latencies: &[u32]) -> String {
    let Value::Object(all) = quantiles(latencies) else { return "none".to_owned() };
    let one = |name: &str| all.get(name).and_then(Value::as_f64).unwrap_or_default();
    let shown = ["p50", "p90", "p99", "max"].map(|name| format!("{name} {:.1}", one(name)));
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn totals(warm_up: Duration, sample: usize) -> Totals {
        let mut plan = super::super::plan::tests::plan(super::super::plan::Kind::Issue, 1, 1, 1);
        (plan.warm_up, plan.check) = (warm_up, sample);
        Totals::new(&plan)
    }

    fn commit(seconds: u64) -> Commit {
        let kept = Kept { id: Digest([0; 32]), signature_hash: Digest([0; 32]), receipt: vec![] };
        Commit { height: seconds, issued: 2, revoked: 0, at: at(seconds), latency: at(1), kept }
    }

    #[test]
    fn what_was_begun_in_the_warm_up_is_not_counted() {
        let mut totals = totals(at(2), 0);
        for second in 0..6 {
            totals.note(at(second), |c| c.offered += 1);
            totals.submitted(at(second), at(0));
            totals.committed(at(second), commit(second + 1));
        }
        assert_eq!((totals.counts.offered, totals.counts.committed), (4, 4));
        assert_eq!((totals.latencies.len(), totals.late.len()), (4, 4));
        assert_eq!(totals.take_recent().counts.offered, 6);
        assert_eq!(totals.take_recent().counts.offered, 0);
    }

    #[test]
    fn a_rate_is_of_the_time_in_which_transactions_were_begun() {
        let mut all = totals(at(2), 0);
        (0..=9).for_each(|second| all.committed(at(second), commit(second)));
        all.arrivals_ended(at(10), false);
        all.committed(at(9), commit(30));
        assert_eq!(all.rates(), (1.0, 2.0));
        let mut counted = totals(at(0), 0);
        counted.arrivals_ended(at(1), true);
        (1..=4).for_each(|second| counted.committed(at(0), commit(second)));
        assert_eq!(counted.rates(), (1.0, 2.0));
        assert_eq!(totals(at(0), 0).rates(), (0.0, 0.0));
    }

    #[test]
    fn quantiles_are_exact() {
        let all: Vec<u32> = (0..=100).rev().map(|n| n * 1_000).collect();
        let expected = json!({"p50": 50.0, "p90": 90.0, "p99": 99.0, "max": 100.0});
        assert_eq!(quantiles(&all), expected);
        assert_eq!(quantiles(&[7_000])["p99"], 7.0);
        assert_eq!(quantiles(&[]), Value::Null);
    }

    #[test]
    fn of_the_receipts_so_many_are_kept_and_no_more() {
        for (sample, expected) in [(0, 0), (3, 3), (50, 20)] {
            let mut totals = totals(at(0), sample);
            (0..20).for_each(|second| totals.committed(at(second), commit(second)));
            assert_eq!(totals.kept.len(), expected, "{sample}");
        }
    }
}
