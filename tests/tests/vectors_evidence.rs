//! Golden vectors of evidence: what an outsider checks `/v1/evidence` by. `UPDATE_EXPECT=1` writes
//! the file anew; that is a change of the wire format and belongs into the changelog.

#![allow(clippy::unwrap_used, clippy::panic)]

use expect_test::expect_file;
use serde_json::{Value, json};
use symbolon_consensus::{
    Message,
    evidence::Equivocation,
    wire::{Proposal, Vote},
};
use symbolon_ledger::{
    hash::{BlockHash, ChainId, sha256},
    keys::SecretKey,
    vote::{Statement, Step, VoteKind},
};

fn chain() -> ChainId {
    sha256(b"chain")
}

/// A message of province 44, whose key is of the seed 07 (32 times).
fn message(step: Step, block: Option<BlockHash>, pol_round: Option<u32>) -> Message {
    let (height, round, province) = (117, 2, "44".parse().unwrap());
    let said = Statement { step, chain: chain(), height, round, block, pol_round };
    let signature = SecretKey::from_seed(&[7; 32]).sign(&said.bytes());
    let vote = |kind| Message::Vote(Vote { kind, height, round, block, province, signature });
    match step {
        Step::Proposal => {
            let block = block.unwrap();
            Message::Proposal(Proposal { height, round, block, pol_round, province, signature })
        }
        Step::Prevote => vote(VoteKind::Prevote),
        Step::Precommit => vote(VoteKind::Precommit),
    }
}

fn vector(one: &Message, other: &Message) -> Value {
    let evidence = Equivocation::of(&chain(), one, other).unwrap();
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    json!({
        "province": evidence.province.to_string(),
        "first": {
            "statement": hex(&evidence.first.statement),
            "signature": hex(&evidence.first.signature.0),
        },
        "second": {
            "statement": hex(&evidence.second.statement),
            "signature": hex(&evidence.second.signature.0),
        },
        "evidence": hex(&evidence.encode()),
    })
}

#[test]
fn the_bytes_of_evidence_are_those_of_the_vectors() {
    let (a, b) = (Some(sha256(b"a")), Some(sha256(b"b")));
    let of = |step, (block, round), (other, other_round)| {
        vector(&message(step, block, round), &message(step, other, other_round))
    };
    let key = SecretKey::from_seed(&[7; 32]).public_key();
    let vectors = json!({
        "about": "Made by tests/tests/vectors_evidence.rs. Hexadecimal bytes. docs/spec/evidence.md",
        "chain_id": chain().to_string(),
        "key": key.to_string(),
        "height": 117,
        "round": 2,
        "proposal": of(Step::Proposal, (a, None), (b, None)),
        "proposal_made_again": of(Step::Proposal, (a, None), (a, Some(1))),
        "prevote": of(Step::Prevote, (a, None), (b, None)),
        "precommit": of(Step::Precommit, (None, None), (b, None)),
    });
    let computed = serde_json::to_string_pretty(&vectors).unwrap() + "\n";
    expect_file!["../vectors/evidence.json"].assert_eq(&computed);
}
