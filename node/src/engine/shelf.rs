//! Executed bodies of the running height, and which of them may be forgotten.
//!
//! What the host has asked for stays until it is on disk: the host may have it stored at any
//! later moment, and a body that was gone by then would stop this node. What nobody asked for
//! is the first to go, and what is on disk the second: it can be read and executed again.

use symbolon_ledger::{block::Header, hash::BlockHash};

use super::bodies::Body;

/// Most bodies that are on disk or invalid and are kept all the same, so that a decision need
/// not execute again: those of the last few rounds.
const MAX_DONE: usize = 8;
/// Most bodies that were executed before the host asked for them.
const MAX_UNASKED: usize = 4;

/// What is still to be done with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// The host has not asked for it, and may never do.
    Unasked,
    /// The host has its verdict and may have it stored at any moment.
    Asked,
    /// It is on disk, or invalid and of no more use than its name.
    Done,
}

#[derive(Debug)]
struct Shelved {
    block: BlockHash,
    body: Body,
    need: Need,
}

/// See the module. Oldest first; a height has a handful of bodies.
#[derive(Debug, Default)]
pub(super) struct Shelf(Vec<Shelved>);

impl Shelf {
    pub(super) fn get(&self, block: &BlockHash) -> Option<&Body> {
        self.0.iter().find(|shelved| shelved.block == *block).map(|shelved| &shelved.body)
    }

    pub(super) fn headers(&self) -> Vec<Header> {
        self.0.iter().map(|shelved| shelved.body.header().clone()).collect()
    }

    pub(super) fn contains(&self, block: &BlockHash) -> bool {
        self.get(block).is_some()
    }

    /// Keeps a body, and forgets an older one when there are too many like it.
    pub(super) fn keep(&mut self, block: BlockHash, body: Body, need: Need) {
        if !self.contains(&block) {
            self.0.push(Shelved { block, body, need: Need::Unasked });
        }
        self.need(&block, need);
    }

    /// Notes what is to be done with a body.
    pub(super) fn need(&mut self, block: &BlockHash, need: Need) {
        if let Some(shelved) = self.0.iter_mut().find(|shelved| shelved.block == *block) {
            let of_no_use = need == Need::Asked && matches!(shelved.body, Body::Invalid(_));
            shelved.need = if of_no_use { Need::Done } else { need };
        }
        self.thin_out(Need::Unasked, MAX_UNASKED);
        self.thin_out(Need::Done, MAX_DONE);
    }

    fn thin_out(&mut self, need: Need, most: usize) {
        let alike = |shelved: &Shelved| shelved.need == need;
        while self.0.iter().filter(|shelved| alike(shelved)).count() > most {
            let oldest = self.0.iter().position(alike).expect("there are too many of them");
            self.0.remove(oldest);
        }
    }

    pub(super) fn take(&mut self, block: &BlockHash) -> Option<Body> {
        let at = self.0.iter().position(|shelved| shelved.block == *block)?;
        Some(self.0.remove(at).body)
    }

    /// Drops a body that the host does not wait for any more.
    pub(super) fn forget(&mut self, block: &BlockHash) {
        self.0.retain(|shelved| shelved.block != *block || shelved.need != Need::Asked);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use symbolon_ledger::{
        block::HEADER_VERSION,
        hash::{Digest, sha256},
    };

    use super::*;

    fn body() -> Body {
        Body::Invalid(Box::new(Header {
            version: HEADER_VERSION,
            chain_id: Digest::ZERO,
            height: 1,
            time_ms: 1,
            parent: Digest::ZERO,
            history_root: Digest::ZERO,
            transactions_root: Digest::ZERO,
            state_root: Digest::ZERO,
            validators_hash: Digest::ZERO,
            next_validators_hash: Digest::ZERO,
            proposer: None,
        }))
    }

    #[test]
    fn each_kind_of_body_makes_room_for_its_own_kind_only() {
        let name = |n: usize| sha256(&n.to_be_bytes());
        let mut shelf = Shelf::default();
        shelf.keep(name(0), body(), Need::Unasked);
        shelf.keep(name(1), body(), Need::Done);
        for n in 2..2 + MAX_DONE {
            shelf.keep(name(n), body(), Need::Asked);
        }
        assert!(!shelf.contains(&name(1)), "an invalid body is done with once it is answered");
        assert!(shelf.contains(&name(0)) && shelf.contains(&name(2)));
        for n in 100..100 + MAX_UNASKED {
            shelf.keep(name(n), body(), Need::Unasked);
        }
        assert!(!shelf.contains(&name(0)) && shelf.contains(&name(2)));
    }
}
