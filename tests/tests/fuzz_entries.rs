//! What the fuzzer asserts of any bytes, asserted of many on every run.
//!
//! The entry functions and their seeds are those of `tests/fuzz/`; scripts/fuzz.sh gives them to
//! libFuzzer. Here the seeds are damaged in the ways in which damage happens: bytes changed, cut
//! out, put in, doubled, or taken from another seed. A failure prints the bytes, and its seed is kept
//! in `fuzz_entries.proptest-regressions`.

#[allow(unreachable_pub, reason = "public for the fuzzer's crate, which has the same file")]
#[path = "../fuzz/src/lib.rs"]
mod entries;

use entries::TARGETS;
use proptest::{collection::vec, prelude::*, sample::Index};

/// Damaged inputs a run. Each costs up to four checks of a signature.
const CASES: u32 = 4_096;
/// Most places at which a seed is damaged.
const MOST_EDITS: usize = 4;

/// A change of some bytes.
#[derive(Debug, Clone)]
enum Edit {
    Set(Index, u8),
    Flip(Index, u8),
    Cut(Index, usize),
    Insert(Index, Vec<u8>),
    Double(Index, usize),
    /// Puts a piece of another seed at this place.
    Splice(Index, Index, Index, usize),
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let index = any::<Index>;
    let edit = prop_oneof![
        (index(), any::<u8>()).prop_map(|(at, to)| Edit::Set(at, to)),
        (index(), 0..8u8).prop_map(|(at, bit)| Edit::Flip(at, bit)),
        (index(), 1..40usize).prop_map(|(at, count)| Edit::Cut(at, count)),
        (index(), vec(any::<u8>(), 1..9)).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        (index(), 1..80usize).prop_map(|(at, count)| Edit::Double(at, count)),
        (index(), index(), index(), 1..200usize)
            .prop_map(|(at, seed, from, count)| Edit::Splice(at, seed, from, count)),
    ];
    vec(edit, 0..=MOST_EDITS)
}

fn apply(edit: &Edit, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    let place = |at: &Index, len: usize| if len == 0 { 0 } else { at.index(len) };
    let len = bytes.len();
    let piece =
        |of: &[u8], from: usize, count: usize| of[from..(from + count).min(of.len())].to_vec();
    match edit {
        Edit::Set(at, to) => bytes.iter_mut().skip(place(at, len)).take(1).for_each(|b| *b = *to),
        Edit::Flip(at, bit) => {
            bytes.iter_mut().skip(place(at, len)).take(1).for_each(|b| *b ^= 1 << bit);
        }
        Edit::Cut(at, count) => {
            let from = place(at, len);
            bytes.drain(from..(from + count).min(len));
        }
        Edit::Insert(at, new) => {
            let at = place(at, len);
            bytes.splice(at..at, new.iter().copied());
        }
        Edit::Double(at, count) => {
            let from = place(at, len);
            let copy = piece(bytes, from, *count);
            bytes.splice(from..from, copy);
        }
        Edit::Splice(at, seed, from, count) => {
            let other = seed.get(seeds);
            let new = piece(other, from.index(other.len()), *count);
            let at = place(at, len);
            let end = (at + new.len()).min(len);
            bytes.splice(at..end, new);
        }
    }
}

#[test]
fn every_entry_accepts_its_seeds_and_refuses_nothing_at_all() {
    for target in TARGETS {
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "{} has no seeds", target.name);
        for (number, seed) in seeds.iter().enumerate() {
            assert!((target.entry)(seed), "{} refuses its seed {number}", target.name);
        }
        assert!(!(target.entry)(b""), "{} accepts nothing at all", target.name);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn damaged_seeds_are_refused_or_mean_what_was_signed(
        which in any::<Index>(),
        seed in any::<Index>(),
        edits in edits(),
    ) {
        let target = which.get(&TARGETS);
        let seeds = (target.seeds)();
        let mut bytes = seed.get(&seeds).clone();
        for edit in &edits {
            apply(edit, &mut bytes, &seeds);
        }
        (target.entry)(&bytes);
    }

    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in vec(any::<u8>(), 0..300)) {
        for target in TARGETS {
            prop_assert!(!(target.entry)(&bytes), "{} accepts noise", target.name);
        }
    }

    #[test]
    fn any_text_is_refused_without_a_panic(text in "[A-Za-z0-9_.~:-]{0,300}|\\PC{0,120}") {
        for target in TARGETS {
            prop_assert!(!(target.entry)(text.as_bytes()), "{} accepts noise", target.name);
        }
    }
}
