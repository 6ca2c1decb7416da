//! A table of faults, and how one row of it is run: measure, harm, watch, heal, wait, check.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use symbolon_ledger::validators::may_fail;

use super::{checks, field::Field, load::Load, say, wanted, whole};
use crate::devnet::await_that;

/// How many heights a node must gain to be seen going on.
const ON: u64 = 2;
/// How long the load is watched before a fault, and under it. A rate is measured over a span, and
/// this one has so many blocks that one more or less does not make the figure.
const WINDOW: Duration = Duration::from_secs(6);
/// The same in the short set, of which no rate is compared with another.
const SHORT_WINDOW: Duration = Duration::from_secs(1);

fn window() -> Duration {
    if whole() { WINDOW } else { SHORT_WINDOW }
}

/// What must hold while a fault lasts.
#[derive(Debug, Clone, Copy)]
pub enum Meanwhile {
    /// All nodes go on but these.
    OnBut(&'static [usize]),
    /// Nobody commits anything.
    Stall,
    /// This node ends, saying one of these words; the others go on.
    Ends(usize, &'static [&'static str]),
    /// All nodes end, each saying one of these words. Without a quorum the last may have nothing to
    /// write any more, and so meet no fault: they stand still, and say so.
    AllEnd(&'static [&'static str]),
    /// This node ends, saying one of these words, or it goes on with all others and has the same
    /// blocks as they: it never tells anything else. The others go on.
    EndsOrAgrees(usize, &'static [&'static str]),
}

/// One fault.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// What it is.
    pub name: &'static str,
    /// Whether it is also in the short set.
    pub short: bool,
    /// Does the harm.
    pub inject: fn(&Field),
    /// What must hold while it lasts.
    pub meanwhile: Meanwhile,
    /// Undoes the harm; afterwards all nodes must go on.
    pub heal: fn(&Field),
    /// The provinces that speak twice from now on, which is heard and accused.
    pub guilty: &'static [&'static str],
}

/// Runs the rows of a family, prints what was measured, and executes all chains again.
///
/// # Panics
///
/// When an invariant does not hold.
pub fn run(family: &str, field: &Field, rows: &[Row]) {
    let mut outcomes = Vec::new();
    let mut round =
        Round { field, load: field.load(), told: Vec::new(), checked: 0, guilty: BTreeSet::new() };
    for row in rows.iter().filter(|row| (whole() || row.short) && row.name.contains(&wanted())) {
        say(&format!("fault: {family}: {}", row.name));
        outcomes.push(round.run(row));
        if whole() {
            field.verify_all();
            field.start_all();
        }
    }
    // Once more, after all of it.
    checks::nothing_acknowledged_is_lost(&field.nodes[..1], &round.told);
    drop(round);
    field.verify_all();
    report(family, field.nodes.len(), &outcomes);
}

struct Round<'a> {
    field: &'a Field,
    load: Load,
    /// All that was acknowledged and checked.
    told: Vec<super::load::Acknowledged>,
    /// All blocks up to here were compared.
    checked: u64,
    guilty: BTreeSet<String>,
}

impl Round<'_> {
    fn run(&mut self, row: &Row) -> Value {
        self.guilty.extend(row.guilty.iter().map(|province| (*province).to_owned()));
        let without = self.load.rate(window());
        let before = self.field.highest();
        (row.inject)(self.field);
        let with = self.watch(row, before);
        if !row.guilty.is_empty() {
            self.await_evidence();
        }
        let begun = Instant::now();
        (row.heal)(self.field);
        let reached = self.field.highest();
        self.field.await_height(reached + ON);
        let progress = begun.elapsed();
        self.check();
        json!({
            "fault": row.name,
            "load_without": round1(without),
            "load_under": round1(with),
            "load_held_percent": (100.0 * with / without.max(0.1)).round(),
            "progress_after_heal_ms": u64::try_from(progress.as_millis()).unwrap_or(u64::MAX),
        })
    }

    /// Watches what happens under the fault; the load that was held.
    fn watch(&self, row: &Row, before: u64) -> f64 {
        let field = self.field;
        let all = 0..field.nodes.len();
        match row.meanwhile {
            Meanwhile::OnBut(nodes) => {
                let others: Vec<usize> = all.filter(|n| !nodes.contains(n)).collect();
                let rate = self.load.rate(window());
                field.await_height_of(&others, before + ON);
                rate
            }
            Meanwhile::Stall => {
                // Without a quorum it may still finish what it had agreed on.
                await_that("all that answer say that the chain stands still", || field.stands());
                let stands = field.highest();
                let rate = self.load.rate(window());
                assert_eq!(field.highest(), stands, "{}: it goes on without a quorum", row.name);
                rate
            }
            Meanwhile::Ends(node, words) => {
                self.await_end(node, words);
                let rate = self.load.rate(window());
                let others: Vec<usize> = all.filter(|n| *n != node).collect();
                field.await_height_of(&others, before + ON);
                rate
            }
            Meanwhile::AllEnd(words) => {
                let rate = self.load.rate(window());
                self.await_all_end(words);
                rate
            }
            Meanwhile::EndsOrAgrees(node, words) => {
                let rate = self.load.rate(window());
                let others: Vec<usize> = all.filter(|n| *n != node).collect();
                field.await_height_of(&others, before + ON);
                self.ends_or_agrees(node, words);
                rate
            }
        }
    }

    /// Waits until whoever is guilty was heard and is accused everywhere.
    fn await_evidence(&self) {
        await_that("the evidence is everywhere", || {
            let accused = |node| checks::accused(node).is_some_and(|named| named == self.guilty);
            self.field.ear.contradicting() == self.guilty && self.field.nodes.iter().all(accused)
        });
    }

    fn await_end(&self, node: usize, words: &[&str]) {
        let node = &self.field.nodes[node];
        let mut ended = None;
        await_that(&format!("node {} ends by itself", node.number), || {
            ended = node.ended();
            ended.is_some()
        });
        let ended = ended.expect("it was awaited");
        say(&format!("  node {} said: {}", node.number, last_line(&node.said())));
        checks::it_says_why_it_stopped(node, ended, words);
    }

    fn await_all_end(&self, words: &[&str]) {
        let mut left: Vec<_> = self.field.nodes.iter().collect();
        let quorum = left.len() - may_fail(left.len());
        await_that("all nodes end by themselves, or stand still", || {
            left.retain(|node| {
                let ended = node.ended();
                if let Some(status) = ended {
                    say(&format!("  node {} said: {}", node.number, last_line(&node.said())));
                    checks::it_says_why_it_stopped(node, status, words);
                }
                ended.is_none()
            });
            left.len() < quorum && self.field.stands()
        });
        for node in left {
            say(&format!("  node {} stands still and has nothing to write", node.number));
            node.end(Signal::SIGTERM);
        }
    }

    fn ends_or_agrees(&self, n: usize, words: &[&str]) {
        let (node, other) = (&self.field.nodes[n], &self.field.nodes[usize::from(n == 0)]);
        let height = self.field.highest();
        let mut ended = None;
        await_that(&format!("node {n} ends or catches up"), || {
            ended = node.ended();
            ended.is_some() || node.height().is_some_and(|h| h >= height)
        });
        match ended {
            Some(status) => {
                say(&format!("  node {n} said: {}", last_line(&node.said())));
                checks::it_says_why_it_stopped(node, status, words);
            }
            None if checks::it_shows_what_the_others_show((node, other), height, &self.told) => {
                say(&format!("  node {n} goes on"));
            }
            None => self.await_end(n, words),
        }
    }

    /// All invariants, on all nodes. The load rests: what it adds would have to be checked as well,
    /// and on a slow machine the checks would never catch up.
    fn check(&mut self) {
        self.load.hold(true);
        let told = self.load.acknowledged();
        let highest = told.iter().map(|one| one.height).max().unwrap_or(0);
        self.field.await_height(highest);
        let lowest = self.field.heights().into_iter().flatten().min().unwrap_or(0);
        let nodes = &self.field.nodes;
        checks::every_height_has_one_block(nodes, self.checked..=lowest);
        self.checked = lowest;
        checks::nothing_acknowledged_is_lost(nodes, &told);
        self.told.extend(told);
        checks::licences_are_shown_as_they_are(nodes, &self.told, &self.field.trust());
        checks::nobody_contradicts_himself_but(&self.field.ear, &self.guilty);
        checks::evidence_names_nobody_but(nodes, &self.guilty);
        checks::the_nodes_stay_small(nodes);
        let wrongs = self.load.wrongs();
        assert!(wrongs.is_empty(), "I6: {wrongs:?}");
        self.load.hold(false);
    }
}

fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or_default()
}

fn round1(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// Prints the table, and writes it as JSON where `SYMBOLON_FAULTS_OUT` says.
fn report(family: &str, nodes: usize, outcomes: &[Value]) {
    say(&format!("\n{family}, {nodes} nodes: transactions a second, and what came after\n"));
    say("| fault | load without | load under | held | progress after heal |");
    say("|---|---|---|---|---|");
    for outcome in outcomes {
        say(&format!(
            "| {} | {} | {} | {} % | {} ms |",
            outcome["fault"].as_str().unwrap_or_default(),
            outcome["load_without"],
            outcome["load_under"],
            outcome["load_held_percent"],
            outcome["progress_after_heal_ms"],
        ));
    }
    if let Ok(folder) = std::env::var("SYMBOLON_FAULTS_OUT") {
        let file = std::path::Path::new(&folder).join(format!("{family}.json"));
        let text = json!({"family": family, "nodes": nodes, "rows": outcomes}).to_string();
        std::fs::write(file, text).expect("the report can be written");
    }
}
