//! ELC1 over the whole catalogue: exact both ways, small enough for a phone, and deaf to whatever
//! is not what it wrote.
//!
//! Not here: the vectors for outsiders (`vectors_elc1.rs`), and single faults of the format
//! (`credential/src/elc1/tests.rs`).

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use proptest::prelude::*;
use symbolon_credential::{
    elc1::{DICTIONARY, MAX_TEXT_LEN, PREFIX, decode, encode},
    sd_jwt::Parsed,
};
use symbolon_genesis::presets::catalogue;
use symbolon_tests::{
    elc1::{
        samples::Sample,
        sizes::{BUDGET, measure},
    },
    sim::dice::Dice,
};

/// Credentials of each entry in the property tests that need a whole credential.
const RUNS: u64 = 12;

/// Whether somebody who has both keys would accept `presentation`.
fn signatures_verify(presentation: &str, sample: &Sample) -> bool {
    let Ok(parsed) = Parsed::parse(presentation) else { return false };
    let Ok(checked) = parsed.check_signature(&sample.issuer.public_key()) else { return false };
    let bound = checked.key_binding();
    checked.disclose().is_ok() && bound.is_ok_and(|b| b.is_some() == sample.holder.is_some())
}

/// A sample of every entry, with and without a holder's key, `runs` times.
fn for_every_entry(runs: u64, mut check: impl FnMut(&Sample, &mut Dice)) {
    for licence_type in catalogue() {
        for seed in 0..runs {
            let mut dice = Dice::new(seed);
            for with_holder in [true, false] {
                let sample = Sample::new(&licence_type, with_holder, &mut dice);
                check(&sample, &mut dice);
            }
        }
    }
}

#[test]
fn whatever_is_shown_of_any_licence_reads_back_byte_for_byte() {
    for_every_entry(RUNS, |sample, dice| {
        let keys: Vec<&str> = sample
            .licence_type
            .claims
            .iter()
            .map(|claim| claim.key.as_str())
            .filter(|key| sample.holds(key))
            .collect();
        let some: Vec<&str> = keys.into_iter().filter(|_| dice.chance(50)).collect();
        for presentation in
            [sample.defaults(dice), sample.everything(dice), sample.present(&some, dice)]
        {
            let text = encode(&presentation).unwrap();
            assert!(text.starts_with(PREFIX) && text.len() <= MAX_TEXT_LEN);
            assert_eq!(decode(&text).as_deref(), Ok(presentation.as_str()));
            assert!(signatures_verify(&presentation, sample));
        }
    });
}

#[test]
fn every_default_disclosure_fits_the_code_that_phones_read() {
    for row in measure() {
        assert!(row.screen[0].version <= BUDGET, "{row:?}");
        assert!(row.paper[0].version <= BUDGET, "{row:?}");
    }
}

#[test]
fn no_changed_character_is_accepted_as_another_presentation() {
    let alphabet = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:";
    for_every_entry(1, |sample, dice| {
        let presentation = sample.defaults(dice);
        let text = encode(&presentation).unwrap();
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = alphabet[dice.index(alphabet.len())];
            let changed = String::from_utf8(changed).unwrap();
            let Ok(read) = decode(&changed) else { continue };
            // DEFLATE has spare bits, so another text may mean the same presentation.
            assert!(read == presentation || !signatures_verify(&read, sample), "{at} {changed}");
        }
    });
}

#[test]
fn no_flipped_bit_beneath_the_text_is_accepted_as_another_presentation() {
    for_every_entry(1, |sample, dice| {
        let presentation = sample.defaults(dice);
        let text = encode(&presentation).unwrap();
        let bytes = base45::decode(&text[PREFIX.len()..]).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << dice.below(8);
            let Ok(read) = decode(&format!("{PREFIX}{}", base45::encode(&changed))) else {
                continue;
            };
            assert!(read == presentation || !signatures_verify(&read, sample), "{at}");
        }
    });
}

#[test]
fn the_dictionary_is_used() {
    let mut dice = Dice::new(1);
    let sample = Sample::new(&catalogue()[0], true, &mut dice);
    let presentation = sample.defaults(&mut dice);
    let text = encode(&presentation).unwrap();
    assert!(text.len() < presentation.len() * 7 / 10, "{} of {}", text.len(), presentation.len());
    assert!(DICTIONARY.len() <= 32 * 1024);
}

proptest! {
    #[test]
    fn noise_is_refused_and_nothing_panics(
        bytes in prop::collection::vec(any::<u8>(), 0..2_900),
        text in "\\PC{0,300}",
    ) {
        let noise = format!("{PREFIX}{}", base45::encode(&bytes));
        if let Ok(read) = decode(&noise) {
            prop_assert!(encode(&read).is_ok());
        }
        let _ = decode(&text);
        let _ = decode(&format!("{PREFIX}{text}"));
        let _ = encode(&text);
        let _ = encode(&format!("{text}~"));
    }

    /// What the encoder accepts, it carries exactly, whether or not it is a licence.
    #[test]
    fn what_is_encoded_is_never_read_as_something_else(
        header in json_part('{', '}'),
        payload in json_part('{', '}'),
        disclosures in prop::collection::vec(json_part('[', ']'), 0..5),
        bound in any::<bool>(),
        signature in prop::collection::vec(any::<u8>(), 63..66),
    ) {
        use symbolon_credential::encoding::to_base64url;
        let part = |json: &String| to_base64url(json.as_bytes());
        let jwt = format!("{}.{}.{}", part(&header), part(&payload), to_base64url(&signature));
        let mut text = format!("{jwt}~");
        for disclosure in &disclosures {
            text.push_str(&part(disclosure));
            text.push('~');
        }
        if bound {
            text.push_str(&jwt);
        }
        let parts = [&header, &payload].into_iter().chain(&disclosures);
        let reserved = parts.clone().any(|json| json.contains(['\n', '\u{1}']));
        let large = parts.map(String::len).sum::<usize>() > 2_000;
        match encode(&text) {
            Ok(elc1) => prop_assert_eq!(decode(&elc1), Ok(text)),
            Err(_) => prop_assert!(signature.len() != 64 || reserved || large),
        }
    }
}

/// Text between an opening and a closing character that looks like JSON, with strings that look
/// like base64url of all lengths around the bounds, with escapes, and with bytes that the format
/// reserves.
fn json_part(open: char, close: char) -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "\"[A-Za-z0-9_-]{20,24}\"",
        4 => "\"[A-Za-z0-9_-]{84,88}\"",
        4 => prop::collection::vec(any::<u8>(), 14..67)
            .prop_map(|b| format!("\"{}\"", symbolon_credential::encoding::to_base64url(&b))),
        2 => "\"[a-z\\\\\" ]{0,12}\"",
        2 => "[:,{}\\[\\]\"\\\\]{0,4}",
        2 => "\"\\PC{0,8}\"",
        1 => Just("\n".to_owned()),
        1 => Just("\u{1}".to_owned()),
    ];
    prop::collection::vec(piece, 0..5)
        .prop_map(move |pieces| format!("{open}{}{close}", pieces.concat()))
}
