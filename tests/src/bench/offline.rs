//! A verdict without any network, beside the signature checks that it must do.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use symbolon_credential::sd_jwt::Parsed;
use symbolon_ledger::{
    certificate::{Certificate, MAX_CERTIFICATE_BYTES},
    codec,
    keys::SecretKey,
    state_proof::{MAX_STATE_PROOF_BYTES, StateProof},
};
use symbolon_verify::{
    judge::Request,
    offline::{Evidence, verify},
    state_proof,
    trust::{Anchor, Trust},
    verdict::Outcome,
};

use crate::devnet::Devnet;

use super::{
    VERIFIER,
    limits::millis,
    report::{Figure, Section, Target},
    wallet::Wallet,
};

/// Most times the time of its signature checks that a verdict may take.
const MOST_TIMES: f64 = 1.5;
/// Ages that no evidence of this run reaches, in milliseconds.
const LONG_MS: u64 = 24 * 3_600 * 1_000;

/// The chapter.
///
/// # Panics
///
/// When the verdict is not `valid`.
#[must_use]
pub fn section(net: &Devnet, wallet: &Wallet, span: Duration) -> Section {
    let (proof, bundle) = (wallet.proof(net), wallet.trust_bundle(net));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let shown = wallet.present(now, 0).next().expect("a wallet has licences");
    let request = Request {
        recognising_province: VERIFIER.parse().expect("a code"),
        audience: None,
        nonce: None,
        now_ms: now * 1_000,
        at_ms: None,
        earliest_at_ms: None,
        max_staleness_ms: LONG_MS,
    };
    let believe = || Trust::check(&bundle, &Anchor::Kept, now * 1_000).expect("its own bundle");
    let trust = believe();
    let whole = || {
        let presentation = Parsed::parse(&shown).expect("a presentation");
        let states = [state_proof::check(&proof, &trust).expect("a proof of this chain")];
        let evidence = Evidence { states: &states, list: None };
        let verdict = verify(&presentation, &evidence, &trust, LONG_MS, &request);
        assert_eq!(verdict.outcome, Outcome::Valid, "{:?}", verdict.checks);
    };
    let checks = 2 + signers(&proof);
    let took = millis(span, whole);
    let check = check_of_signature();
    let alone = millis(span, || (0..checks).for_each(&check));
    Section {
        name: "verifying offline",
        how: format!(
            "{}-byte presentation, {}-byte proof; {checks} signatures: issuer, holder, validators",
            shown.len(),
            proof.len()
        ),
        figures: vec![
            Figure::new("presentation and proof to verdict", took * 1e3, "µs")
                .of("its Ed25519 checks alone", alone * 1e3)
                .with(Target::AtMost(MOST_TIMES)),
            Figure::new("the trust bundle, once a start", millis(span, believe) * 1e3, "µs"),
        ],
    }
}

/// Signatures in the proof's certificate; all are checked.
fn signers(proof: &[u8]) -> usize {
    let proof: StateProof = codec::decode(proof, MAX_STATE_PROOF_BYTES).expect("a proof");
    let certificate = proof.certificate.expect("the block is not the founding one");
    let certificate: Certificate =
        codec::decode(&certificate, MAX_CERTIFICATE_BYTES).expect("a certificate");
    certificate.signatures.len()
}

/// One strict check of a signature over as many bytes as a vote has.
fn check_of_signature() -> impl Fn(usize) {
    const VOTE: usize = 150;
    let key = SecretKey::from_seed(&[7; 32]);
    let (message, public) = ([0; VOTE], key.public_key());
    let signature = key.sign(&message);
    move |_| public.verify(&message, &signature).expect("its own signature holds")
}
