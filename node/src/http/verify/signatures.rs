//! Which issuers' signatures were found to hold here: of a licence that is shown every day, the
//! issuer's is checked once, and its holder's each time.
//!
//! What a name stands for, and why a yes is safe to remember, is
//! [`symbolon_credential::sd_jwt::SignatureMemory`]'s. Nothing else of a verdict is remembered: an
//! issuer's key and the licence are looked up anew, at the newest height, for each. Who has a
//! presentation in hand could at most see by a twentieth of a millisecond that its licence was
//! shown here lately.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use symbolon_credential::sd_jwt::SignatureMemory;
use symbolon_ledger::hash::Digest;

/// Names of one generation; there are two. Together they take about 5 MiB.
const GENERATION: usize = 32_768;

/// Names of signatures that hold, those that were asked for last. One that is forgotten is checked
/// again.
#[derive(Debug, Default)]
pub(in crate::http) struct Signatures(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashSet<Digest>,
    old: HashSet<Digest>,
}

impl Generations {
    fn insert(&mut self, name: Digest) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(name);
    }
}

impl SignatureMemory for Signatures {
    fn holds(&self, name: &Digest) -> bool {
        // A set of names is whole whenever the lock is released, also by a panic.
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if names.young.contains(name) {
            return true;
        }
        let is_old = names.old.remove(name);
        if is_old {
            names.insert(*name);
        }
        is_old
    }

    fn keep(&self, name: Digest) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
    }
}

#[cfg(test)]
mod tests {
    use symbolon_ledger::hash::sha256;

    use super::*;

    #[test]
    fn names_that_are_asked_for_stay_and_the_memory_has_a_bound() {
        let memory = Signatures::default();
        let name = |n: usize| sha256(&n.to_be_bytes());
        assert!(!memory.holds(&name(0)));
        for n in 0..5 * GENERATION {
            memory.keep(name(n));
            assert!(memory.holds(&name(n)));
            assert!(memory.holds(&name(0)), "forgotten after {n} others");
        }
        assert!(!memory.holds(&name(1)));
        let names = memory.0.lock().unwrap();
        assert!(names.young.len() <= GENERATION && names.old.len() <= GENERATION);
    }
}
