//! Start and restart: from the committed tip, the write-ahead log and the stored bodies back to
//! where this node was when it stopped.
//!
//! The order is fixed (host contract 4): the chain is open; the log belongs to the height after
//! its tip, or is forgotten; the height begins; the log is indexed, so that the core uses its
//! recorded signatures again and stops if it would sign anything else; the entries are fed
//! and not appended again; the index is dropped; only then does the network open.
//!
//! What the log holds of this node's own is compared with the mark before the height begins
//! ([`crate::mark`]): a log that was lost, or that is older than the mark, leaves the node silent
//! at this height.

use std::collections::BTreeMap;

use malachite_consensus::{Params, State};
use malachite_types::ValuePayload;
use symbolon_ledger::{
    block::Header,
    hash::BlockHash,
    mutants::{self, Mutant},
};

use crate::{
    context::{Height, Ledger},
    desk::Desk,
    host::{Config, Effect, HeightStart, Host, HostError},
    membership::thresholds,
    timing::{Timer, TimerStep},
    wal::{Entry, Record},
    wire::Message,
};

/// The core's own queue of later inputs. Nothing ever enters it: later messages are kept by the
/// edge, where they pass the same checks as all others.
const CORE_QUEUE: usize = 1;

impl Host {
    /// A host that starts at the height after the tip, without a past.
    ///
    /// # Errors
    ///
    /// [`HostError::WrongChain`] or [`HostError::Membership`] when `start` does not belong
    /// together with `config` or with itself.
    pub fn new(config: Config, start: HeightStart) -> Result<Self, HostError> {
        let desk = Desk::new(config, &start)?;
        let params = Params {
            address: desk.address(),
            threshold_params: thresholds(),
            // host contract 1: with `ProposalOnly` the core would take every block for valid.
            value_payload: ValuePayload::ProposalAndParts,
            // Settled when the height begins, and the log has been looked at.
            enabled: desk.may_vote(),
        };
        let (height, members) = (Height(start.height()), desk.members.clone());
        let core = State::new(Ledger, height, members, params, CORE_QUEUE, CORE_QUEUE);
        Ok(Self::assemble(core, desk, start))
    }

    /// A host that goes on where it stopped. Without entries of this height it is prepared as a
    /// new one is; with entries it has begun, and the effects bring the world up to date.
    ///
    /// `log` holds the entries in the order they were appended, `bodies` the headers of the
    /// bodies stored for this height.
    ///
    /// # Errors
    ///
    /// [`HostError`]: the log or the stored bodies contradict the chain, or replay contradicts
    /// what was signed. The node stays down until a person has looked.
    pub fn recover(
        config: Config,
        start: HeightStart,
        log: &[Vec<u8>],
        bodies: Vec<Header>,
        now_ms: u64,
    ) -> Result<(Self, Vec<Effect>), HostError> {
        let mut host = Self::new(config, start)?;
        host.desk.now_ms = now_ms;
        let records = host.read(log)?;
        if records.is_empty() || mutants::is(Mutant::LogNotReplayed) {
            let reset = Effect::WalReset { height: host.height() };
            return Ok((host, vec![reset]));
        }
        host.replay(&records, bodies)?;
        let effects = std::mem::take(&mut host.desk.effects);
        Ok((host, effects))
    }

    /// The records of this height. Entries of an earlier one are left over from a crash between
    /// the commit of a block and the reset of the log.
    fn read(&self, log: &[Vec<u8>]) -> Result<Vec<Record>, HostError> {
        let next = self.height();
        let mut records = Vec::new();
        for (index, bytes) in log.iter().enumerate() {
            let entry = Entry::decode(bytes).map_err(|source| HostError::Wal { index, source })?;
            if entry.height > next {
                return Err(HostError::WalAhead { wal: entry.height, next });
            }
            if entry.height == next {
                records.push(entry.record);
            }
        }
        Ok(records)
    }

    fn replay(&mut self, records: &[Record], bodies: Vec<Header>) -> Result<(), HostError> {
        let height = self.height();
        let inputs: Vec<_> = records.iter().filter_map(|r| r.to_core(height)).collect();
        let mut stored: BTreeMap<_, _> = bodies.into_iter().map(|h| (h.hash(), h)).collect();
        for record in records {
            self.desk.remember(record);
        }
        // What was read back may never have reached the disk; nothing leaves before it has.
        self.desk.unflushed = true;
        self.desk.replaying = true;
        self.begin()?;
        // host contract 4: between the start of the height and the first entry.
        self.core.index_wal_entries(&inputs);
        for (record, input) in records.iter().zip(inputs) {
            if self.is_running() {
                self.note(record, &mut stored)?;
                self.feed(input)?;
                self.watch_record(record);
            }
        }
        self.core.reset_entries_index();
        self.desk.replaying = false;
        self.resume()
    }

    /// What the host itself has to know of an entry.
    fn note(
        &mut self,
        record: &Record,
        stored: &mut BTreeMap<BlockHash, Header>,
    ) -> Result<(), HostError> {
        match record {
            Record::Proposal(p) => {
                self.bodies.want(p.block, p.round, Some(p.province));
            }
            Record::Verdict(verdict) => {
                let block = verdict.block;
                self.bodies.want(block, verdict.round, None);
                match stored.remove(&block) {
                    Some(header) => {
                        self.bodies.learn(header, verdict.valid, true);
                    }
                    // host contract 5: a valid body was stored before its verdict was logged.
                    None if verdict.valid && self.bodies.get(&block).is_none() => {
                        return Err(HostError::BodyMissing { block, height: self.height() });
                    }
                    None => {}
                }
            }
            Record::Vote(_) | Record::Polka(_) | Record::Timeout(..) => {}
        }
        Ok(())
    }

    fn watch_record(&mut self, record: &Record) {
        match record {
            Record::Vote(vote) => self.watch(&Message::Vote(vote.clone())),
            Record::Polka(polka) => self.watch(&Message::Polka(polka.clone())),
            Record::Proposal(_) | Record::Verdict(_) | Record::Timeout(..) => {}
        }
    }

    /// Asks again for what was asked for before the crash and is not in the log.
    fn resume(&mut self) -> Result<(), HostError> {
        if self.is_running() {
            self.asked_in_round = self.round();
            self.forget_old();
            self.request_missing();
            if let Some(round) = self.desk.build
                && self.round() == Some(round)
                && self.core.driver.step_is_propose()
            {
                let step = TimerStep::Propose;
                self.desk.ask_for_block(Timer { height: self.height(), round, step });
            }
        }
        self.settle()
    }
}
