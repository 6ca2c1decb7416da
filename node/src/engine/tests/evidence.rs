//! Evidence: found by consensus or shown by a peer, kept within its bounds, passed on once.

use symbolon_consensus::{Message, evidence::Equivocation, wire::Vote};
use symbolon_ledger::{
    hash::{Digest, sha256},
    vote::{VoteKind, vote_bytes},
};

use super::rig::Rig;
use crate::storage::EVIDENCE_PER_PROVINCE;

/// A vote of one of the others for any height.
fn vote(rig: &Rig, i: usize, height: u64, block: Option<Digest>) -> Message {
    let (kind, keys) = (VoteKind::Precommit, &rig.keys[i]);
    let bytes = vote_bytes(kind, &rig.engine.parts.store.chain_id(), height, 0, block.as_ref());
    let (province, signature) = (keys.province, keys.validator.sign(&bytes));
    Message::Vote(Vote { kind, height, round: 0, block, province, signature })
}

/// Two of them that exclude each other.
pub(super) fn evidence(rig: &Rig, i: usize, height: u64) -> Equivocation {
    let chain = rig.engine.parts.store.chain_id();
    let (one, other) = (vote(rig, i, height, None), vote(rig, i, height, Some(sha256(b"x"))));
    Equivocation::of(&chain, &one, &other).unwrap()
}

fn kept(rig: &Rig) -> Vec<Equivocation> {
    rig.engine.parts.store.view().unwrap().evidence().unwrap()
}

/// The evidence among what was published since the last look.
fn published(rig: &Rig) -> Vec<Equivocation> {
    let messages = rig.wishes().published;
    messages.iter().filter_map(|bytes| Equivocation::decode(bytes).ok()).collect()
}

#[test]
fn what_consensus_finds_is_kept_at_once_and_sent_once() {
    let mut rig = Rig::begun();
    let guilty = (1..4).find(|i| *i != rig.turn(0)).unwrap();
    rig.hear(Message::Vote(rig.vote(guilty, VoteKind::Prevote, 0, None)));
    assert!(kept(&rig).is_empty());
    rig.hear(Message::Vote(rig.vote(guilty, VoteKind::Prevote, 0, Some(sha256(b"x")))));
    let found = kept(&rig);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].province, rig.keys[guilty].province);
    let set = &rig.engine.host.start().validators;
    found[0].check(&rig.engine.parts.store.chain_id(), set).unwrap();
    assert_eq!(published(&rig), found);
    // After a restart the log tells it again; it is known.
    let rig = rig.restart().unwrap();
    assert_eq!(kept(&rig), found);
    assert!(published(&rig).is_empty());
}

#[test]
fn a_guilty_validator_fills_no_more_than_its_share() {
    let mut rig = Rig::new();
    let most = u64::try_from(EVIDENCE_PER_PROVINCE).unwrap();
    for height in 1..=most + 3 {
        for i in [1, 2] {
            rig.engine.keep_evidence(&evidence(&rig, i, height)).unwrap();
            rig.engine.keep_evidence(&evidence(&rig, i, height)).unwrap();
        }
    }
    let all = kept(&rig);
    assert_eq!(all.len(), 2 * EVIDENCE_PER_PROVINCE);
    for i in [1, 2] {
        let province = rig.keys[i].province;
        let own: Vec<_> = all.iter().filter(|e| e.province == province).cloned().collect();
        let first: Vec<_> = (1..=most).map(|height| evidence(&rig, i, height)).collect();
        assert_eq!(own, first, "the first that was found is kept");
    }
}
