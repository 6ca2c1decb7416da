//! The tree against itself: its pages follow from its leaves, and no altered page is believed. That
//! its roots and proofs are those of the `jmt` crate is shown in `tests/tests/map.rs`.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    page::{BUCKET_LEAVES, PageFlaw, SPAN},
    whole::{Builder, Leaf, subtree},
    *,
};

/// Leaves in ascending order; of crowded ones many share their first bytes.
pub(super) fn leaves_of(count: u32, crowded: bool) -> Vec<Leaf> {
    let leaf = |n: u32| {
        let mut key = sha256(&n.to_be_bytes());
        if crowded {
            let deep = usize::from(key.0[31] % 24);
            key.0[..deep].fill(0xab);
        }
        Leaf { key, value: sha256(&[n.to_be_bytes(), [1; 4]].concat()) }
    };
    let mut leaves: Vec<Leaf> = (0..count).map(leaf).collect();
    leaves.sort();
    leaves
}

fn put(leaf: &Leaf) -> Change {
    Change { key: leaf.key, value: Some(leaf.value) }
}

fn removed(leaf: &Leaf) -> Change {
    Change { key: leaf.key, value: None }
}

/// A tree in memory and its root.
struct Tree {
    pages: Memory,
    root: Digest,
}

impl Tree {
    fn empty() -> Self {
        Self { pages: Memory::default(), root: PLACEHOLDER }
    }

    fn grow(&mut self, changes: Vec<Change>) {
        let update = update(&self.pages, self.root, changes).unwrap();
        self.check_lists(&update);
        self.pages.apply(&update);
        self.root = update.root;
    }

    /// No page is put and removed, or put as it was, and every page that is removed is there.
    fn check_lists(&self, update: &TreeUpdate) {
        let put: BTreeSet<_> = update.put.iter().map(|(key, _)| key).collect();
        let gone: BTreeSet<_> = update.gone.iter().collect();
        assert_eq!((put.len(), gone.len()), (update.put.len(), update.gone.len()));
        assert!(put.is_disjoint(&gone));
        assert!(gone.iter().all(|key| self.pages.pages().contains_key(key)));
        let idle = update.put.iter().find(|(key, page)| self.pages.pages().get(key) == Some(page));
        assert_eq!(idle, None);
    }
}

fn built(leaves: &[Leaf]) -> Tree {
    let mut builder = Builder::default();
    let mut pages = BTreeMap::new();
    for leaf in leaves {
        builder.push(*leaf).unwrap();
        pages.extend(builder.take());
    }
    let (root, rest) = builder.finish();
    pages.extend(rest);
    let mut tree = Tree { pages: Memory::default(), root };
    *tree.pages.pages_mut() = pages;
    tree
}

#[test]
fn the_pages_follow_from_the_leaves_and_not_from_the_way_to_them() {
    for (count, crowded, of_a_batch) in
        [(1, false, 1), (16, true, 3), (17, false, 17), (40, true, 1), (3_000, false, 250)]
    {
        let leaves = leaves_of(count, crowded);
        let more = leaves_of(2 * count, crowded);
        let (mut ascending, mut mixed) = (Tree::empty(), Tree::empty());
        for part in leaves.chunks(of_a_batch) {
            ascending.grow(part.iter().map(put).collect());
        }
        // In the order of their values, which is any; then what is too much is taken away again.
        let mut shuffled = more.clone();
        shuffled.sort_by_key(|leaf| leaf.value);
        for part in shuffled.chunks(of_a_batch) {
            mixed.grow(part.iter().map(put).collect());
        }
        let kept: BTreeSet<_> = leaves.iter().collect();
        let extra: Vec<_> = shuffled.iter().filter(|leaf| !kept.contains(leaf)).collect();
        for part in extra.chunks(of_a_batch) {
            mixed.grow(part.iter().map(|leaf| removed(leaf)).collect());
        }
        let expected = built(&leaves);
        assert_eq!(expected.root, subtree(&leaves, 0).hash());
        for tree in [ascending, mixed] {
            assert_eq!(tree.root, expected.root, "{count} {crowded}");
            assert_eq!(tree.pages.pages(), expected.pages.pages(), "{count} {crowded}");
        }
    }
}

#[test]
fn a_tree_of_which_everything_is_removed_has_no_page() {
    let leaves = leaves_of(500, true);
    let mut tree = built(&leaves);
    tree.grow(leaves.iter().map(removed).collect());
    assert_eq!(tree.root, PLACEHOLDER);
    assert!(tree.pages.pages().is_empty());
}

#[test]
fn many_hands_write_the_same_pages() {
    struct FromBehind;
    impl Hands for FromBehind {
        fn spread<T: Send, R: Send>(&self, parts: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
            let mut done: Vec<R> = parts.into_iter().rev().map(work).collect();
            done.reverse();
            done
        }
    }
    let tree = built(&leaves_of(2_000, false));
    let changes: Vec<Change> = leaves_of(4_000, false)
        .iter()
        .enumerate()
        .map(|(n, leaf)| if n % 3 == 0 { put(leaf) } else { removed(leaf) })
        .collect();
    let one = update(&tree.pages, tree.root, changes.clone()).unwrap();
    let many = update_with(&tree.pages, tree.root, changes, &FromBehind).unwrap();
    let pages = |update: &TreeUpdate| update.put.iter().cloned().collect::<BTreeMap<_, _>>();
    let gone = |update: &TreeUpdate| update.gone.iter().copied().collect::<BTreeSet<_>>();
    assert_eq!((one.root, pages(&one), gone(&one)), (many.root, pages(&many), gone(&many)));
}

#[test]
fn of_two_changes_of_one_key_the_later_counts_and_none_changes_nothing() {
    let (a, b) = (sha256(b"a"), sha256(b"b"));
    let mut tree = Tree::empty();
    tree.grow(vec![Change::new(a, Some(b"1")), Change::new(a, Some(b"2")), Change::new(b, None)]);
    let only = Leaf { key: a, value: sha256(b"2") };
    assert_eq!(tree.root, subtree(&[only], 0).hash());
    for nothing in [vec![], vec![put(&only)], vec![Change::new(b, None)]] {
        let idle = update(&tree.pages, tree.root, nothing).unwrap();
        assert_eq!(idle, TreeUpdate { root: tree.root, put: vec![], gone: vec![] });
    }
}

#[test]
fn a_missing_or_other_root_is_an_error_and_never_an_empty_tree() {
    let full = built(&leaves_of(100, false));
    let (empty, other) = (Memory::default(), sha256(b"root"));
    for (pages, expected, found) in [
        (&empty, other, PLACEHOLDER),
        (&full.pages, other, full.root),
        (&full.pages, PLACEHOLDER, full.root),
    ] {
        let wrong = TreeError::WrongRoot { found, expected };
        assert_eq!(prove(pages, expected, sha256(b"k")), Err(wrong.clone()));
        let change = vec![Change::new(sha256(b"k"), Some(b"1"))];
        assert_eq!(update(pages, expected, change), Err(wrong.clone()));
        // A block that writes nothing stands on the same root.
        assert_eq!(update(pages, expected, vec![]), Err(wrong));
    }
}

#[test]
fn a_page_that_is_missing_or_stands_elsewhere_is_never_believed() {
    let leaves = leaves_of(400, true);
    let whole = built(&leaves);
    let keys: Vec<PageKey> = whole.pages.pages().keys().copied().collect();
    for (at, next) in keys.iter().zip(keys.iter().skip(1)) {
        for other in [None, Some(whole.pages.pages()[at].clone())] {
            let mut pages = whole.pages.clone();
            match other {
                None => pages.pages_mut().remove(next),
                Some(page) => pages.pages_mut().insert(*next, page),
            };
            let mut hit = 0;
            for leaf in &leaves {
                match prove(&pages, whole.root, leaf.key) {
                    Ok(path) => assert_eq!(Ok(path), prove(&whole.pages, whole.root, leaf.key)),
                    Err(TreeError::Missing(at) | TreeError::OtherPage(at)) => {
                        assert_eq!(at, *next);
                        hit += 1;
                        assert!(update(&pages, whole.root, vec![removed(leaf)]).is_err());
                    }
                    Err(other) => panic!("{other}"),
                }
            }
            assert!(hit > 0, "{next} leads nowhere");
        }
    }
}

#[test]
fn pages_are_read_as_they_were_written_and_altered_ones_are_found() {
    let leaves = leaves_of(300, true);
    let tree = built(&leaves);
    for (at, page) in tree.pages.pages() {
        let bytes = page.encode();
        assert_eq!(Page::decode(at, &bytes), Ok(page.clone()));
        assert!(Page::decode(at, &bytes[..bytes.len() - 1]).is_err());
        assert!(Page::decode(at, &[&bytes[..], &[0]].concat()).is_err());
        for place in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[place] ^= 1 << (place % 8);
            let Ok(read) = Page::decode(at, &altered) else { continue };
            if read.hash() != page.hash() {
                continue;
            }
            // Only the number of leaves in a bucket is under no hash; whoever reads the bucket
            // sees that it is another.
            let mut pages = tree.pages.clone();
            pages.pages_mut().insert(*at, read);
            let others = leaves.iter().map(|leaf| prove(&pages, tree.root, leaf.key));
            let wrong: Vec<_> = others.filter_map(Result::err).collect();
            assert!(!wrong.is_empty(), "{at} byte {place}");
            assert!(wrong.iter().all(|e| matches!(e, TreeError::OtherKind(_))), "{wrong:?}");
        }
    }
}

#[test]
fn bytes_that_no_tree_writes_are_no_page() {
    use page::{BELOW, BUCKET, EMPTY, FORK, INNER};
    let leaf = |key: [u8; 32]| [key, [7; 32]].concat();
    let end = |tag: u8| [&[tag][..], &[9; 32]].concat();
    let (few, full) = (end(3), end(BUCKET_LEAVES as u8));
    let bucket = |leaves: &[Vec<u8>]| [vec![BUCKET], leaves.concat()].concat();
    let inner = |nodes: &[&[u8]]| [vec![INNER], nodes.concat()].concat();
    let ladder = |levels: usize, end: &[u8]| {
        let steps: Vec<u8> = (0..levels).flat_map(|_| [FORK, EMPTY]).collect();
        inner(&[&steps, end])
    };
    let many: Vec<_> = (0..=BUCKET_LEAVES as u8).map(|n| leaf([n; 32])).collect();
    let at = |depth| PageKey::on_the_way(&Digest([0; 32]), depth);
    for (depth, bytes, flaw) in [
        (0, vec![], PageFlaw::Cut),
        (0, vec![7], PageFlaw::Kind(7)),
        (0, bucket(&[]), PageFlaw::Size(0)),
        (0, bucket(&many), PageFlaw::Size(64 * many.len())),
        (0, bucket(&[vec![1; 32]]), PageFlaw::Size(32)),
        (0, bucket(&[leaf([2; 32]), leaf([1; 32])]), PageFlaw::Order),
        (0, bucket(&[leaf([1; 32]), leaf([1; 32])]), PageFlaw::Order),
        (9, bucket(&[leaf([1; 32])]), PageFlaw::Elsewhere),
        (5, inner(&[&[FORK], &full, &few]), PageFlaw::Depth(5)),
        (252, inner(&[&[FORK], &full, &few]), PageFlaw::Depth(252)),
        (0, inner(&[]), PageFlaw::Cut),
        (0, inner(&[&full]), PageFlaw::Few),
        (0, inner(&[&[FORK], &few, &few]), PageFlaw::Few),
        (0, inner(&[&[FORK], &full]), PageFlaw::Cut),
        (0, inner(&[&[FORK], &full, &few[..9]]), PageFlaw::Cut),
        (0, inner(&[&[FORK], &full, &[99]]), PageFlaw::Node(99)),
        (0, inner(&[&[FORK], &full, &few, &[EMPTY]]), PageFlaw::Trailing(1)),
        (0, inner(&[&[FORK], &full, &end(BELOW)]), PageFlaw::Early),
        (0, ladder(SPAN + 1, &end(BELOW)), PageFlaw::Deep),
    ] {
        assert_eq!(Page::decode(&at(depth), &bytes), Err(flaw), "{depth} {bytes:?}");
    }
    assert!(Page::decode(&at(0), &ladder(SPAN, &end(BELOW))).is_ok());
    assert!(Page::decode(&at(0), &inner(&[&[FORK], &full, &few])).is_ok());
}
