//! What nodes give one another: blocks, certificates, evidence and what was signed in it.

use std::sync::LazyLock;

use serde_json::Value;
use symbolon_consensus::evidence::Equivocation;
use symbolon_ledger::{
    block::{Block, transactions_root},
    certificate::{Certificate, MAX_CERTIFICATE_BYTES},
    codec,
    hash::ChainId,
    keys::PublicKey,
    vote::Statement,
};

use super::{from_hex, text_at, vectors};

static LEDGER: LazyLock<Value> =
    LazyLock::new(|| vectors(include_str!("../../vectors/ledger.json")));
static EVIDENCE: LazyLock<Value> =
    LazyLock::new(|| vectors(include_str!("../../vectors/evidence.json")));

/// The pairs of the vectors.
const PAIRS: [&str; 4] = ["proposal", "proposal_made_again", "prevote", "precommit"];

fn evidence_bytes(pair: &str) -> Vec<u8> {
    from_hex(text_at(&EVIDENCE, &format!("/{pair}/evidence")))
}

/// A block has one spelling, and its hash is its header's.
pub(super) fn block(bytes: &[u8]) -> bool {
    let Ok(read) = Block::decode(bytes) else { return false };
    assert_eq!(read.encode(), bytes, "another spelling");
    assert_eq!(read.hash(), read.header.hash(), "another block's hash");
    assert_eq!(
        transactions_root(&read.transactions),
        read.header.transactions_root,
        "transactions that its header does not name"
    );
    true
}

/// The vectors' block.
pub(super) fn block_seeds() -> Vec<Vec<u8>> {
    vec![from_hex(text_at(&LEDGER, "/block"))]
}

/// A certificate has one spelling.
pub(super) fn certificate(bytes: &[u8]) -> bool {
    let Ok(read) = codec::decode::<Certificate>(bytes, MAX_CERTIFICATE_BYTES) else {
        return false;
    };
    assert_eq!(codec::encode(&read), bytes, "another spelling");
    true
}

/// The vectors' certificate.
pub(super) fn certificate_seeds() -> Vec<Vec<u8>> {
    vec![from_hex(text_at(&LEDGER, "/certificate"))]
}

/// What is signed in a vote or a proposal has one spelling.
pub(super) fn statement(bytes: &[u8]) -> bool {
    let Ok(read) = Statement::read(bytes) else { return false };
    assert_eq!(read.bytes(), bytes, "another spelling");
    true
}

/// What was signed in the vectors.
pub(super) fn statement_seeds() -> Vec<Vec<u8>> {
    let of = |pair: &str, which: &str| {
        from_hex(text_at(&EVIDENCE, &format!("/{pair}/{which}/statement")))
    };
    PAIRS.iter().flat_map(|pair| ["first", "second"].map(|which| of(pair, which))).collect()
}

/// Evidence has one spelling and is of two different statements, and a signature under one of them
/// is good only where the key has signed it.
pub(super) fn evidence(bytes: &[u8]) -> bool {
    let Ok(read) = Equivocation::decode(bytes) else { return false };
    assert_eq!(read.encode(), bytes, "another spelling");
    let chain: ChainId = text_at(&EVIDENCE, "/chain_id").parse().expect("the vectors' chain");
    if let Ok((first, second)) = read.statements(&chain) {
        assert_ne!(first, second, "one statement, twice");
    }
    let key = from_hex(text_at(&EVIDENCE, "/key"));
    let key = PublicKey::from_bytes(&key).expect("the vectors' key");
    for one in [&read.first, &read.second] {
        let signed = || statement_seeds().iter().any(|known| *known == one.statement[..]);
        assert!(one.verify(&key).is_err() || signed(), "what nobody signed");
    }
    true
}

/// The vectors' evidence.
pub(super) fn evidence_seeds() -> Vec<Vec<u8>> {
    PAIRS.map(evidence_bytes).to_vec()
}
