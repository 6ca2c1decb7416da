//! One entry function for each thing that comes from outside: bytes in, and an assertion fails when
//! something that must hold of *any* bytes does not.
//!
//! The same functions are called by libFuzzer (scripts/fuzz.sh) and by proptest
//! (`tests/tests/fuzz_entries.rs`, which includes this file by its path). Seeds are the golden
//! vectors, so that both begin with what is well formed and signed.

mod chain;

mod credentials;

mod documents;

mod proofs;

mod trust;

/// Something that comes from outside.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name on the command line of scripts/fuzz.sh.
    pub name: &'static str,
    /// Reads bytes, asserts what must hold, and says whether they were accepted.
    pub entry: fn(&[u8]) -> bool,
    /// Bytes to begin with. The entry accepts each of them.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: [Target; 13] = [
    Target { name: "elc1", entry: credentials::elc1, seeds: credentials::elc1_seeds },
    Target { name: "sd-jwt", entry: credentials::sd_jwt, seeds: credentials::sd_jwt_seeds },
    Target {
        name: "status-list",
        entry: credentials::status_list,
        seeds: credentials::status_list_seeds,
    },
    Target { name: "receipt", entry: proofs::receipt, seeds: proofs::receipt_seeds },
    Target { name: "state-proof", entry: proofs::state_proof, seeds: proofs::state_proof_seeds },
    Target { name: "trust-bundle", entry: trust::trust_bundle, seeds: trust::trust_bundle_seeds },
    Target { name: "inclusion", entry: trust::inclusion, seeds: trust::inclusion_seeds },
    Target {
        name: "transaction",
        entry: documents::transaction,
        seeds: documents::transaction_seeds,
    },
    Target { name: "block", entry: chain::block, seeds: chain::block_seeds },
    Target { name: "certificate", entry: chain::certificate, seeds: chain::certificate_seeds },
    Target { name: "statement", entry: chain::statement, seeds: chain::statement_seeds },
    Target { name: "evidence", entry: chain::evidence, seeds: chain::evidence_seeds },
    Target { name: "genesis", entry: documents::genesis, seeds: documents::genesis_seeds },
];

/// The bytes of lower-case hexadecimal digits.
fn from_hex(text: &str) -> Vec<u8> {
    let digit = |c: u8| (c as char).to_digit(16).expect("the vectors are hexadecimal") as u8;
    text.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// A file of vectors, and nothing else: no other bytes are read as JSON here.
fn vectors(text: &str) -> serde_json::Value {
    serde_json::from_str(text).expect("the vectors are JSON")
}

/// The text at `pointer` (RFC 6901) of some vectors.
fn text_at<'v>(vectors: &'v serde_json::Value, pointer: &str) -> &'v str {
    vectors.pointer(pointer).and_then(|v| v.as_str()).expect("the vectors have this member")
}

/// Some vectors' list at `pointer`.
fn list_at<'v>(vectors: &'v serde_json::Value, pointer: &str) -> &'v [serde_json::Value] {
    vectors.pointer(pointer).and_then(|v| v.as_array()).expect("the vectors have this list")
}
