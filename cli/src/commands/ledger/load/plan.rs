//! What is asked for, with the bounds of it.

use std::time::Duration;

use clap::ValueEnum;
use symbolon_ledger::transaction::MAX_OPERATIONS;

use super::LoadArgs;
use crate::{args::Context, output::Failure};

/// Most transactions a second: several times what one thread can sign and send.
pub(super) const MAX_RATE: i64 = 100_000;
/// Most licences of a transaction.
pub(super) const MAX_BATCH: i64 = MAX_OPERATIONS as i64;
/// Most transactions of one run: the latency of each takes four bytes.
pub(super) const MAX_TRANSACTIONS: u64 = 10_000_000;
/// Most transactions that may wait at once: as many as a node's pool takes.
pub(super) const MAX_IN_FLIGHT: i64 = 20_000;
/// How many wait at once for each node, unless told otherwise: as many as it lets wait for a commit.
/// More are answered at once and must ask again.
pub(super) const IN_FLIGHT_A_NODE: usize = 512;
/// Most receipts that are kept to be checked: each may have 16 KiB.
pub(super) const MAX_CHECKED: i64 = 10_000;
/// How long a load lasts that names neither its length nor its number.
const DEFAULT_SPAN: Duration = Duration::from_secs(10);
/// The longest load.
const MAX_SPAN: Duration = Duration::from_secs(24 * 3_600);
/// Most licences that are issued to be revoked: each is remembered with 32 bytes.
const MAX_PREPARED: u64 = 1_000_000;
/// How many transactions of licences to revoke wait at once.
const PREPARING_AT_ONCE: usize = 16;
/// How many of them are begun a second, at most.
const PREPARING_RATE: u32 = 1_000;

/// What transactions do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// Issue licences
    Issue,
    /// Revoke licences that are issued before the load begins
    Revoke,
    /// By turns issue licences and revoke such as were issued in the same run
    Mixed,
}

impl Kind {
    /// Its name on the command line.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Issue => "issue",
            Self::Revoke => "revoke",
            Self::Mixed => "mixed",
        }
    }
}

/// What is to be done.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) kind: Kind,
    /// Transactions begun a second.
    pub(super) rate: u32,
    /// Operations of a transaction.
    pub(super) batch: usize,
    /// Nothing is begun after this time.
    pub(super) span: Duration,
    /// Nothing is begun after so many were submitted.
    pub(super) count: u64,
    pub(super) warm_up: Duration,
    pub(super) agencies: usize,
    /// How many may wait at once.
    pub(super) in_flight: usize,
    /// How long one may take.
    pub(super) patience: Duration,
    /// Receipts that are kept to be checked.
    pub(super) check: usize,
    /// Whether the names of issued licences are kept, to be revoked.
    pub(super) keep_issued: bool,
    /// Whether committed transactions are to be written down.
    pub(super) keep_ids: bool,
}

impl Plan {
    /// What the arguments ask for.
    ///
    /// # Errors
    ///
    /// When they do not go together.
    pub(super) fn of(args: &LoadArgs, context: &Context) -> Result<Self, Failure> {
        let default = if args.count.is_some() { MAX_SPAN } else { DEFAULT_SPAN };
        let plan = Self {
            kind: args.kind,
            rate: args.rate,
            batch: args.batch.into(),
            span: args.duration.unwrap_or(default),
            count: args.count.unwrap_or(MAX_TRANSACTIONS),
            warm_up: args.warm_up,
            agencies: args.agencies,
            in_flight: IN_FLIGHT_A_NODE,
            patience: args.patience,
            check: usize::try_from(args.check).unwrap_or(usize::MAX),
            keep_issued: args.kind == Kind::Mixed,
            keep_ids: args.committed.is_some(),
        };
        if plan.span > MAX_SPAN || plan.span.is_zero() {
            let message = "--duration is neither zero nor more than a day";
            return Err(Failure::usage("bad_duration", message, "give a span such as 30s or 10m"));
        }
        if plan.warm_up >= plan.span {
            let message = "--warm-up takes all of --duration, so nothing would be counted";
            return Err(Failure::usage("bad_warm_up", message, "give a longer --duration"));
        }
        if args.every.is_zero() {
            let message = "--every 0s asks for lines without end";
            return Err(Failure::usage("bad_every", message, "give a span such as 1s"));
        }
        let several = context.global.devnet.is_some() && context.global.key.is_none();
        if plan.agencies == 0 || (plan.agencies > 1 && !several) {
            return Err(Failure::usage(
                "bad_agencies",
                format!("--agencies {} names no agencies", plan.agencies),
                "give at least 1; several are taken from --devnet DIR, without --key; or load from \
                 several processes, each with its own --key",
            ));
        }
        if plan.kind == Kind::Revoke && plan.operations() > MAX_PREPARED {
            return Err(Failure::usage(
                "too_many_to_revoke",
                format!("{} licences would have to be issued before", plan.operations()),
                format!("revoke at most {MAX_PREPARED} in a run: give --count"),
            ));
        }
        Ok(plan)
    }

    /// The most transactions that can be begun.
    pub(super) fn transactions(&self) -> u64 {
        let begun = u64::try_from(self.span.as_millis()).unwrap_or(u64::MAX);
        let begun = begun.saturating_mul(self.rate.into()).div_ceil(1_000);
        begun.min(self.count)
    }

    /// The most operations that can be begun.
    pub(super) fn operations(&self) -> u64 {
        self.transactions().saturating_mul(self.batch as u64)
    }

    /// The most slots that one agency uses up.
    pub(super) fn slots_of_one(&self) -> u64 {
        let plan = if self.kind == Kind::Revoke { &self.preparing() } else { self };
        let each = plan.transactions().div_ceil(self.agencies.max(1) as u64);
        each.saturating_mul(plan.batch as u64)
    }

    /// Licences a second that one agency issues at most.
    pub(super) fn rate_of_one(&self) -> u64 {
        let licences = u64::from(self.rate).saturating_mul(self.batch as u64);
        licences.div_ceil(self.agencies.max(1) as u64)
    }

    /// When the transaction of this number is to be begun, after the load's own beginning.
    pub(super) fn intended(&self, number: u64) -> Duration {
        let nanos = u128::from(number).saturating_mul(1_000_000_000) / u128::from(self.rate);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// How the licences that are to be revoked are issued: in full transactions, as fast as some that
    /// wait at once allow, so many for each agency as it is going to revoke.
    pub(super) fn preparing(&self) -> Self {
        let agencies = self.agencies.max(1) as u64;
        let of_one = self.transactions().div_ceil(agencies).saturating_mul(self.batch as u64);
        Self {
            kind: Kind::Issue,
            rate: PREPARING_RATE,
            batch: MAX_OPERATIONS,
            span: MAX_SPAN,
            count: of_one.div_ceil(MAX_OPERATIONS as u64).saturating_mul(agencies),
            warm_up: Duration::ZERO,
            in_flight: PREPARING_AT_ONCE,
            check: 0,
            keep_issued: true,
            keep_ids: false,
            ..self.clone()
        }
    }
}

/// Reads a span of time: a whole number with ms, s, m or h.
pub(super) fn parse_span(text: &str) -> Result<Duration, String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: u64 = number.parse().map_err(|_| "give a span such as 500ms, 30s or 10m")?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("give a span with its unit: ms, s, m or h, such as 30s".to_owned()),
    };
    Ok(Duration::from_millis(number.saturating_mul(millis)))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn plan(kind: Kind, rate: u32, batch: usize, agencies: usize) -> Plan {
        Plan {
            kind,
            rate,
            batch,
            span: Duration::from_secs(10),
            count: MAX_TRANSACTIONS,
            warm_up: Duration::ZERO,
            agencies,
            in_flight: 1,
            patience: Duration::from_secs(1),
            check: 0,
            keep_issued: false,
            keep_ids: false,
        }
    }

    #[test]
    fn a_span_is_a_number_and_a_unit() {
        for (text, millis) in [("0s", 0), ("500ms", 500), ("30s", 30_000), ("10m", 600_000)] {
            assert_eq!(parse_span(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bad in ["", "s", "10", "-1s", "1.5s", "10 s", "10d"] {
            assert!(parse_span(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn starts_are_evenly_spaced_and_do_not_drift() {
        let third = plan(Kind::Issue, 3, 1, 1);
        assert_eq!(third.intended(1), Duration::from_nanos(333_333_333));
        assert_eq!(third.intended(3_000_000), Duration::from_secs(1_000_000));
    }

    #[test]
    fn what_is_to_be_revoked_is_issued_before_by_the_agency_that_revokes_it() {
        let revoke = plan(Kind::Revoke, 10, 3, 4);
        assert_eq!((revoke.transactions(), revoke.operations()), (100, 300));
        let before = revoke.preparing();
        // 25 transactions of 3 for each of 4: one full transaction each.
        assert_eq!((before.count, before.batch, before.keep_issued), (4, 256, true));
        assert_eq!(revoke.slots_of_one(), 256);
        assert_eq!(plan(Kind::Issue, 10, 3, 4).slots_of_one(), 75);
    }
}
