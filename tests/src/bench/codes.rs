//! ELC1: a presentation into the text of a QR code and back.

use std::time::Duration;

use symbolon_credential::elc1::{decode, encode};
use symbolon_genesis::presets::catalogue;

use crate::{elc1::samples::Sample, sim::dice::Dice};

use super::{
    limits::millis,
    report::{Figure, Section},
};

/// Seed of the sample.
const SEED: u64 = 1;
/// The type of the sample.
const TYPE: &str = "local:driving-licence";

/// The chapter.
///
/// # Panics
///
/// When a presentation does not come back as it was.
#[must_use]
pub fn section(span: Duration) -> Section {
    let mut dice = Dice::new(SEED);
    let entries = catalogue();
    let driving = entries.iter().find(|entry| entry.code.as_str() == TYPE).expect("it is there");
    let text = Sample::new(driving, true, &mut dice).defaults(&mut dice);
    let code = encode(&text).expect("it fits");
    assert_eq!(decode(&code).as_ref(), Ok(&text));
    Section {
        name: "QR text (ELC1)",
        how: format!("{} bytes of presentation, {} characters of code", text.len(), code.len()),
        figures: vec![
            Figure::new("encode", millis(span, || encode(&text)) * 1e3, "µs"),
            Figure::new("decode", millis(span, || decode(&code)) * 1e3, "µs"),
        ],
    }
}
