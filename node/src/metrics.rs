//! What the node counts, in the OpenMetrics text form.
//!
//! Labels come from closed lists (route patterns, codes, province codes), so nobody outside can
//! make new series, and none of them names a person or a licence. The modules set the fields;
//! the admin listener writes them out.

use std::{
    sync::{Arc, OnceLock, atomic::AtomicU64},
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};

use symbolon_ledger::block::Block;

use crate::{engine::EngineStatus, execution::Executed, network::NetworkCounters};

/// A gauge of seconds or other fractions.
pub type FloatGauge = Gauge<f64, AtomicU64>;
/// A counter with one label, its key in [`Kind`].
pub type Kinds = Family<Kind, Counter>;

/// Upper bounds of the buckets for durations, in seconds: from a cached read to a wait for a
/// commit.
const DURATION_BUCKETS: [f64; 12] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// The one label of [`Kinds`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Kind {
    /// One of a closed list of words.
    pub kind: &'static str,
}

/// The one label of what is shown of each validator.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfProvince {
    /// Code of its province.
    pub province: String,
}

/// Labels of the count of HTTP answers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct HttpAnswer {
    /// Pattern of the route.
    pub route: String,
    /// Method.
    pub method: &'static str,
    /// Status.
    pub status: u16,
}

/// Labels of the durations of HTTP answers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct HttpRoute {
    /// Pattern of the route.
    pub route: String,
    /// Method.
    pub method: &'static str,
}

/// The node's counters and gauges. Cheap to set from anywhere.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Height of the newest block.
    pub height: Gauge,
    /// Round of the running height.
    pub round: Gauge,
    /// Time of the newest commit here, in seconds since 1970.
    pub last_commit_seconds: FloatGauge,
    /// 1 while the node is behind.
    pub syncing: Gauge,
    /// Peers connected.
    pub peers: Gauge,
    /// Validators of the current set from which nothing was heard lately.
    pub validators_missing: Gauge,
    /// 1 while no block is made because too few validators answer.
    pub stalled: Gauge,
    validator_missing: Family<OfProvince, Gauge>,
    validator_height: Family<OfProvince, Gauge>,
    validator_round: Family<OfProvince, Gauge>,
    /// Evidence of validators that signed against themselves, kept since the start.
    pub evidence: Counter,
    /// Transactions that wait.
    pub pool_transactions: Gauge,
    /// Blocks committed since the start.
    pub blocks: Counter,
    /// Transactions committed since the start.
    pub transactions: Counter,
    /// Licence events committed since the start, by operation.
    pub licence_events: Kinds,
    /// Transactions refused at submission, by code.
    pub refused: Kinds,
    /// Verdicts given, by outcome.
    pub verdicts: Kinds,
    /// Presentations that are remembered.
    pub showings: Gauge,
    /// Presentations that can be remembered.
    pub showings_limit: Gauge,
    /// Open event streams.
    pub event_streams: Gauge,
    /// The first block that is kept.
    pub blocks_from: Gauge,
    /// Height of the newest snapshot; 0 for none.
    pub snapshot_height: Gauge,
    /// Bytes of the database's files, at the start and after old blocks were forgotten.
    pub database_bytes: Gauge,
    /// Blocks forgotten since the start.
    pub pruned_blocks: Counter,
    /// Bytes that this gave back to the disk.
    pub pruned_bytes: Counter,
    network: OnceLock<Arc<NetworkCounters>>,
    network_counts: Family<Kind, Gauge>,
    http_answers: Family<HttpAnswer, Counter>,
    http_seconds: Family<HttpRoute, Histogram>,
}

fn durations() -> Histogram {
    Histogram::new(DURATION_BUCKETS)
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("symbolon"),
            height: Gauge::default(),
            round: Gauge::default(),
            last_commit_seconds: FloatGauge::default(),
            syncing: Gauge::default(),
            peers: Gauge::default(),
            validators_missing: Gauge::default(),
            stalled: Gauge::default(),
            validator_missing: Family::default(),
            validator_height: Family::default(),
            validator_round: Family::default(),
            evidence: Counter::default(),
            pool_transactions: Gauge::default(),
            blocks: Counter::default(),
            transactions: Counter::default(),
            licence_events: Family::default(),
            refused: Family::default(),
            verdicts: Family::default(),
            showings: Gauge::default(),
            showings_limit: Gauge::default(),
            event_streams: Gauge::default(),
            blocks_from: Gauge::default(),
            snapshot_height: Gauge::default(),
            database_bytes: Gauge::default(),
            pruned_blocks: Counter::default(),
            pruned_bytes: Counter::default(),
            network: OnceLock::new(),
            network_counts: Family::default(),
            http_answers: Family::default(),
            http_seconds: Family::new_with_constructor(durations),
        };
        metrics.register();
        metrics.register_history();
        metrics
    }

    fn register_history(&mut self) {
        let r = &mut self.registry;
        r.register("blocks_from", "The first block that is kept", self.blocks_from.clone());
        r.register(
            "snapshot_height",
            "Height of the newest snapshot",
            self.snapshot_height.clone(),
        );
        r.register_with_unit(
            "database",
            "Bytes of the database's files",
            Unit::Bytes,
            self.database_bytes.clone(),
        );
        r.register("pruned_blocks", "Blocks forgotten since the start", self.pruned_blocks.clone());
        r.register_with_unit(
            "pruned",
            "Bytes given back to the disk",
            Unit::Bytes,
            self.pruned_bytes.clone(),
        );
    }

    fn register(&mut self) {
        let r = &mut self.registry;
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        r.register("node", "The software of this node", version);
        r.register("height", "Height of the newest block", self.height.clone());
        r.register("round", "Round of the running height", self.round.clone());
        r.register_with_unit(
            "last_commit_timestamp",
            "Time of the newest commit at this node",
            Unit::Seconds,
            self.last_commit_seconds.clone(),
        );
        r.register("syncing", "1 while this node catches up", self.syncing.clone());
        r.register("peers", "Peers connected", self.peers.clone());
        r.register(
            "validators_missing",
            "Validators from which nothing was heard lately",
            self.validators_missing.clone(),
        );
        r.register("stalled", "1 while too few validators answer", self.stalled.clone());
        let of_each = [
            ("validator_missing", "1 while nothing is heard of it", &self.validator_missing),
            ("validator_height", "Height that it spoke of last", &self.validator_height),
            ("validator_round", "Round that it spoke of last", &self.validator_round),
        ];
        for (name, help, family) in of_each {
            r.register(name, help, family.clone());
        }
        r.register("evidence", "Validators found to contradict themselves", self.evidence.clone());
        r.register("pool_transactions", "Transactions waiting", self.pool_transactions.clone());
        r.register("blocks", "Blocks committed since the start", self.blocks.clone());
        r.register("transactions", "Transactions committed", self.transactions.clone());
        r.register("licence_events", "Licence events committed", self.licence_events.clone());
        r.register("refused", "Transactions refused at submission", self.refused.clone());
        r.register("network", "What the network counts, by name", self.network_counts.clone());
        r.register("verdicts", "Verdicts given", self.verdicts.clone());
        r.register("showings", "Presentations remembered", self.showings.clone());
        r.register(
            "showings_limit",
            "Presentations that can be remembered; no more are judged",
            self.showings_limit.clone(),
        );
        r.register("event_streams", "Open event streams", self.event_streams.clone());
        r.register("http_answers", "HTTP requests answered", self.http_answers.clone());
        r.register_with_unit(
            "http_answer",
            "Time to answer an HTTP request",
            Unit::Seconds,
            self.http_seconds.clone(),
        );
    }

    /// Shows the network's own counters from now on.
    pub fn watch_network(&self, counters: Arc<NetworkCounters>) {
        let _ = self.network.set(counters);
    }

    /// Shows what the engine last heard of the others. A validator that has left the set is not
    /// shown any more.
    pub fn heard(&self, engine: &EngineStatus) {
        self.stalled.set(i64::from(engine.stall.is_some()));
        for family in [&self.validator_missing, &self.validator_height, &self.validator_round] {
            family.clear();
        }
        for validator in &engine.validators {
            let province = OfProvince { province: validator.province.to_string() };
            let missing = engine.validators_missing.contains(&validator.province);
            self.validator_missing.get_or_create(&province).set(i64::from(missing));
            if let Some(last) = validator.last {
                let height = i64::try_from(last.height).unwrap_or(i64::MAX);
                self.validator_height.get_or_create(&province).set(height);
                self.validator_round.get_or_create(&province).set(i64::from(last.round));
            }
        }
    }

    /// Counts a committed block.
    pub fn committed(&self, block: &Block, executed: &Executed) {
        self.blocks.inc();
        self.transactions.inc_by(block.transactions.len() as u64);
        for event in executed.events.iter().flatten().filter(|event| event.cid.is_some()) {
            self.licence_events.get_or_create(&Kind { kind: event.name }).inc();
        }
    }

    /// Counts one HTTP answer. `route` is a pattern of the router, never an address.
    pub fn http_answered(&self, route: &str, method: &'static str, status: u16, elapsed: Duration) {
        let answer = HttpAnswer { route: route.to_owned(), method, status };
        self.http_answers.get_or_create(&answer).inc();
        let route = HttpRoute { route: route.to_owned(), method };
        self.http_seconds.get_or_create(&route).observe(elapsed.as_secs_f64());
    }

    /// The OpenMetrics text.
    ///
    /// # Errors
    ///
    /// [`std::fmt::Error`], which writing to a string does not cause.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        for (kind, value) in self.network.get().map(|n| n.values()).unwrap_or_default() {
            let gauge = self.network_counts.get_or_create(&Kind { kind });
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Heard, LastHeard, Stall};

    #[test]
    fn a_stall_and_who_is_missing_in_it_are_shown() {
        let last = |province: &str, last| LastHeard { province: province.parse().unwrap(), last };
        let heard = Heard { height: 9, round: 3, at_ms: 5 };
        let mut engine = EngineStatus {
            validators: vec![last("31", Some(heard)), last("44", None)],
            validators_missing: vec!["44".parse().unwrap()],
            stall: Some(Stall::default()),
            ..EngineStatus::default()
        };
        let metrics = Metrics::new();
        metrics.heard(&engine);
        let text = metrics.text().unwrap();
        for line in [
            "symbolon_stalled 1",
            "symbolon_validator_missing{province=\"31\"} 0",
            "symbolon_validator_missing{province=\"44\"} 1",
            "symbolon_validator_height{province=\"31\"} 9",
            "symbolon_validator_round{province=\"31\"} 3",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
        (engine.stall, engine.validators) = (None, Vec::new());
        metrics.heard(&engine);
        let text = metrics.text().unwrap();
        assert!(text.contains("symbolon_stalled 0") && !text.contains("province=\"44\""), "{text}");
    }

    #[test]
    fn the_text_has_what_was_counted() {
        let metrics = Metrics::new();
        metrics.height.set(7);
        metrics.verdicts.get_or_create(&Kind { kind: "valid" }).inc();
        metrics.http_answered("/v1/status", "GET", 200, Duration::from_millis(3));
        let text = metrics.text().unwrap();
        for line in [
            "symbolon_height 7",
            "symbolon_verdicts_total{kind=\"valid\"} 1",
            "symbolon_http_answers_total{route=\"/v1/status\",method=\"GET\",status=\"200\"} 1",
            "# EOF",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }
}
