//! Checking a state proof: what stood, and what did not stand, at some places of the state.
//!
//! The map is a Jellyfish Merkle tree: binary, addressed by the bits of the key, in which a subtree
//! with one leaf *is* that leaf. This is an independent checker of the hashing of the `jmt` crate;
//! `tests/tests/state_proofs.rs` holds one against the other.

use std::collections::BTreeMap;

use symbolon_ledger::{
    codec::{self, DecodeError},
    hash::{DIGEST_LEN, Digest, sha256},
    mutants::{self, Mutant},
    records::Record,
    state::{MAX_STATE_KEY_BYTES, StateKey, map_key},
    state_proof::{
        INNER_PREFIX, LEAF_PREFIX, MAX_ENTRIES, MAX_SIBLINGS, MAX_STATE_PROOF_BYTES, MapPath,
        PLACEHOLDER, ProofEntry, STATE_PROOF_VERSION, StateProof,
    },
};
use thiserror::Error;

use crate::trust::{CheckedHeader, HeaderError, Trust};

/// Why a path proves nothing about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PathError {
    /// More siblings than a key has bits.
    #[error("{0} siblings, more than the {MAX_SIBLINGS} bits of a key")]
    TooLong(usize),
    /// A present key with another leaf at its place.
    #[error("a path to a record that is there names another leaf")]
    OtherLeafForPresent,
    /// An absent key whose own leaf is named as the one in its way.
    #[error("a path to an absent record names the record's own key")]
    OwnLeafForAbsent,
    /// The other leaf does not lie on the way to the key.
    #[error("the other leaf does not lie on the way to the key, so it proves no absence")]
    OtherLeafElsewhere,
    /// The path leads to another root.
    #[error("the path leads to another state root")]
    Root,
}

/// Checks that `record` stands under `key` in the map with this root, or with `None` that nothing
/// does.
///
/// ```
/// use symbolon_ledger::{hash::{Digest, sha256}, state_proof::{MapPath, PLACEHOLDER}};
/// use symbolon_verify::state_proof::{PathError, check_path};
/// // In an empty map, nothing stands anywhere.
/// let key = sha256(b"key");
/// assert_eq!(check_path(&PLACEHOLDER, &key, None, &MapPath::default()), Ok(()));
/// let present = check_path(&PLACEHOLDER, &key, Some(b"record"), &MapPath::default());
/// assert_eq!(present, Err(PathError::Root));
/// ```
///
/// # Errors
///
/// [`PathError`].
pub fn check_path(
    root: &Digest,
    key: &Digest,
    record: Option<&[u8]>,
    path: &MapPath,
) -> Result<(), PathError> {
    if path.siblings.len() > MAX_SIBLINGS {
        return Err(PathError::TooLong(path.siblings.len()));
    }
    let bottom = match (record, path.other) {
        (Some(record), None) => hash(LEAF_PREFIX, key, &sha256(record)),
        (Some(_), Some(_)) => return Err(PathError::OtherLeafForPresent),
        (None, None) => PLACEHOLDER,
        (None, Some(other)) if other.key == *key && !mutants::is(Mutant::AbsenceUnchecked) => {
            return Err(PathError::OwnLeafForAbsent);
        }
        (None, Some(other)) if common_bits(&other.key, key) < path.siblings.len() => {
            return Err(PathError::OtherLeafElsewhere);
        }
        (None, Some(other)) => hash(LEAF_PREFIX, &other.key, &other.value),
    };
    // Siblings come from the bottom up: the last one lies beside the key's first bit.
    let levels = (0..path.siblings.len()).rev();
    let top = path.siblings.iter().zip(levels).fold(bottom, |below, (sibling, level)| {
        if bit(key, level) {
            hash(INNER_PREFIX, sibling, &below)
        } else {
            hash(INNER_PREFIX, &below, sibling)
        }
    });
    if top == *root { Ok(()) } else { Err(PathError::Root) }
}

/// A proof has a hundred of these, and one call for all the bytes of a node takes the least time.
fn hash(prefix: &[u8], left: &Digest, right: &Digest) -> Digest {
    const MOST: usize = INNER_PREFIX.len() + 2 * DIGEST_LEN;
    const _: () = assert!(LEAF_PREFIX.len() <= INNER_PREFIX.len());
    let mut bytes = [0; MOST];
    let (own, digests) = bytes.split_at_mut(prefix.len());
    own.copy_from_slice(prefix);
    digests[..DIGEST_LEN].copy_from_slice(&left.0);
    digests[DIGEST_LEN..2 * DIGEST_LEN].copy_from_slice(&right.0);
    sha256(&bytes[..prefix.len() + 2 * DIGEST_LEN])
}

/// Bit `index` of `key`, the most significant of the first byte being bit 0.
fn bit(key: &Digest, index: usize) -> bool {
    key.0[index / 8] >> (7 - index % 8) & 1 == 1
}

fn common_bits(a: &Digest, b: &Digest) -> usize {
    (0..MAX_SIBLINGS).take_while(|i| bit(a, *i) == bit(b, *i)).count()
}

/// Why a state proof proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StateProofError {
    /// Not a state proof.
    #[error("the state proof cannot be read: {0}")]
    Encoding(DecodeError),
    /// A form that this program does not know.
    #[error("state proof version {0} is unknown; a newer verifier is needed")]
    Version(u8),
    /// More entries than are read.
    #[error("{0} entries, more than the {MAX_ENTRIES} allowed")]
    TooManyEntries(usize),
    /// Its header is not believed.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// An entry's key is none.
    #[error("entry {index} has no state key: {source}")]
    Key {
        /// Place of the entry.
        index: usize,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// A key that the state's root says nothing about.
    #[error("entry {0} has a key that is not in the authenticated map")]
    NotAuthenticated(usize),
    /// A key twice.
    #[error("entry {0} repeats a key")]
    Repeated(usize),
    /// An entry's path proves nothing.
    #[error("entry {index}: {source}")]
    Path {
        /// Place of the entry.
        index: usize,
        /// What is wrong with it.
        source: PathError,
    },
}

/// The proof says nothing about this key: neither that a record stands there nor that none does.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the proof does not cover {0:?}")]
pub struct NotProven(pub StateKey);

/// Why a record cannot be taken from a proof.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LookupError {
    /// The proof does not cover the key.
    #[error(transparent)]
    NotProven(#[from] NotProven),
    /// What stands there is proven, but no such record: a newer verifier is needed.
    #[error("the record at {key:?} cannot be read: {source}")]
    Record {
        /// Where it stands.
        key: StateKey,
        /// What is wrong with it.
        source: DecodeError,
    },
}

/// Places of the state at one height, proven. There is no other way to make one than [`check`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedState {
    header: CheckedHeader,
    entries: BTreeMap<StateKey, Option<Vec<u8>>>,
}

impl CheckedState {
    /// The header under which it was proven.
    #[must_use]
    pub fn header(&self) -> &CheckedHeader {
        &self.header
    }

    /// Every place proven, with the record's bytes, or `None` where nothing stood.
    #[must_use]
    pub fn entries(&self) -> &BTreeMap<StateKey, Option<Vec<u8>>> {
        &self.entries
    }

    /// The bytes at `key`; `None` where it is proven that nothing stood.
    ///
    /// # Errors
    ///
    /// [`NotProven`].
    pub fn bytes_at(&self, key: &StateKey) -> Result<Option<&[u8]>, NotProven> {
        match self.entries.get(key) {
            Some(record) => Ok(record.as_deref()),
            None => Err(NotProven(key.clone())),
        }
    }

    /// The record at `key`; `None` where it is proven that nothing stood.
    ///
    /// # Errors
    ///
    /// [`LookupError`].
    pub fn get<R: Record>(&self, key: &StateKey) -> Result<Option<R>, LookupError> {
        let read = |bytes| {
            R::from_bytes(bytes).map_err(|source| LookupError::Record { key: key.clone(), source })
        };
        self.bytes_at(key)?.map(read).transpose()
    }
}

/// Checks a state proof's exact bytes.
///
/// # Errors
///
/// [`StateProofError`]; one faulty entry refuses the whole proof, and a proof from below the pin
/// needs [`check_included`].
pub fn check(bytes: &[u8], trust: &Trust) -> Result<CheckedState, StateProofError> {
    check_included(bytes, trust, None)
}

/// As [`check`], with the exact bytes of the inclusion of the proof's block under the pinned one.
///
/// # Errors
///
/// As [`check`].
pub fn check_included(
    bytes: &[u8],
    trust: &Trust,
    inclusion: Option<&[u8]>,
) -> Result<CheckedState, StateProofError> {
    let proof: StateProof =
        codec::decode(bytes, MAX_STATE_PROOF_BYTES).map_err(StateProofError::Encoding)?;
    if proof.version != STATE_PROOF_VERSION {
        return Err(StateProofError::Version(proof.version));
    }
    if proof.entries.len() > MAX_ENTRIES {
        return Err(StateProofError::TooManyEntries(proof.entries.len()));
    }
    let certificate = proof.certificate.as_ref().map(|c| c.as_slice());
    let header = trust.check_header(&proof.header, certificate, inclusion)?;
    let mut entries = BTreeMap::new();
    for (index, entry) in proof.entries.into_iter().enumerate() {
        let (key, record) = check_entry(index, entry, &header)?;
        if entries.insert(key, record).is_some() {
            return Err(StateProofError::Repeated(index));
        }
    }
    Ok(CheckedState { header, entries })
}

fn check_entry(
    index: usize,
    entry: ProofEntry,
    header: &CheckedHeader,
) -> Result<(StateKey, Option<Vec<u8>>), StateProofError> {
    let key: StateKey = codec::decode(&entry.key, MAX_STATE_KEY_BYTES)
        .map_err(|source| StateProofError::Key { index, source })?;
    if !key.is_authenticated() {
        return Err(StateProofError::NotAuthenticated(index));
    }
    let record = entry.record.map(Vec::from);
    let root = &header.header().state_root;
    check_path(root, &map_key(&entry.key), record.as_deref(), &entry.path)
        .map_err(|source| StateProofError::Path { index, source })?;
    Ok((key, record))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use symbolon_ledger::{codec::encode, records::CountersRecord, state_proof::OtherLeaf};

    use super::*;
    use crate::samples::{Network, flips::for_every_bit};

    fn counters() -> CountersRecord {
        CountersRecord { version: 1, next_agency: 3, next_type: 4 }
    }

    /// A proof over a map with one leaf: the counters.
    fn proof(network: &Network) -> StateProof {
        let record = encode(&counters());
        let key = StateKey::Counters.map_key();
        let root = hash(LEAF_PREFIX, &key, &sha256(&record));
        let header = network.header(7, Digest([3; 32]), root);
        let other = Some(OtherLeaf { key, value: sha256(&record) });
        let entry = |key: &StateKey, record: Option<Vec<u8>>, other| ProofEntry {
            key: key.encode().into(),
            record: record.map(Into::into),
            path: MapPath { siblings: Vec::new(), other },
        };
        StateProof {
            version: STATE_PROOF_VERSION,
            header: encode(&header).into(),
            certificate: Some(encode(&network.certify(&header, &[0, 1, 2])).into()),
            entries: vec![
                entry(&StateKey::Counters, Some(record), None),
                entry(&StateKey::Parameters, None, other),
            ],
        }
    }

    #[test]
    fn presence_and_absence_are_told_from_not_proven() {
        let network = Network::new();
        let checked = check(&encode(&proof(&network)), &network.trust()).unwrap();
        assert_eq!(checked.get::<CountersRecord>(&StateKey::Counters), Ok(Some(counters())));
        assert_eq!(checked.get::<CountersRecord>(&StateKey::Parameters), Ok(None));
        let other = StateKey::Validators;
        let expected = LookupError::NotProven(NotProven(other.clone()));
        assert_eq!(checked.get::<CountersRecord>(&other), Err(expected));
        let wrong = checked.get::<symbolon_ledger::records::AgencyRecord>(&StateKey::Counters);
        assert!(matches!(wrong, Err(LookupError::Record { .. })));
        assert_eq!(checked.header().header().height, 7);
    }

    #[test]
    fn every_way_to_fail_has_its_own_error() {
        let network = Network::new();
        let fails = |change: &dyn Fn(&mut StateProof)| {
            let mut proof = proof(&network);
            change(&mut proof);
            check(&encode(&proof), &network.trust()).unwrap_err()
        };
        let path = |index, source| StateProofError::Path { index, source };
        assert_eq!(fails(&|p| p.version = 2), StateProofError::Version(2));
        let repeated = fails(&|p| p.entries.push(p.entries[0].clone()));
        assert_eq!(repeated, StateProofError::Repeated(2));
        assert!(matches!(fails(&|p| p.certificate = None), StateProofError::Header(_)));
        let key = fails(&|p| p.entries[1].key = vec![0xff].into());
        assert!(matches!(key, StateProofError::Key { index: 1, .. }));
        let derived = StateKey::Lineage(1, Digest([1; 32])).encode();
        let derived = fails(&|p| p.entries[1].key = derived.clone().into());
        assert_eq!(derived, StateProofError::NotAuthenticated(1));
        let altered = fails(&|p| p.entries[0].record = Some(vec![0xa0].into()));
        assert_eq!(altered, path(0, PathError::Root));
        let denied = fails(&|p| p.entries[0].record = None);
        assert_eq!(denied, path(0, PathError::Root));
        let own = fails(&|p| {
            p.entries[0].record = None;
            p.entries[0].path = p.entries[1].path.clone();
        });
        assert_eq!(own, path(0, PathError::OwnLeafForAbsent));
        let invented = fails(&|p| p.entries[1].record = Some(vec![0xa0].into()));
        assert_eq!(invented, path(1, PathError::OtherLeafForPresent));
        let longer = fails(&|p| p.entries[0].path.siblings = vec![PLACEHOLDER; 257]);
        assert_eq!(longer, path(0, PathError::TooLong(257)));
        let beside = fails(&|p| p.entries[1].path.siblings = vec![PLACEHOLDER; 255]);
        assert_eq!(beside, path(1, PathError::OtherLeafElsewhere));
        let many = fails(&|p| p.entries = vec![p.entries[0].clone(); MAX_ENTRIES + 1]);
        assert_eq!(many, StateProofError::TooManyEntries(MAX_ENTRIES + 1));
    }

    #[test]
    fn no_flipped_bit_of_a_proof_proves_an_untruth() {
        let network = Network::new();
        let (bytes, trust) = (encode(&proof(&network)), network.trust());
        check(&bytes, &trust).unwrap();
        for_every_bit(&bytes, |place, bytes| {
            let Ok(checked) = check(bytes, &trust) else { return };
            // In a map of one record, the proof that another key is absent is one for any key.
            for (key, record) in checked.entries() {
                let truth = (*key == StateKey::Counters).then(|| encode(&counters()));
                assert_eq!(record, &truth, "{place}");
            }
        });
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(check(&bytes, &Network::new().trust()).is_err());
        }
    }
}
