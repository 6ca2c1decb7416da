//! How large the QR codes of every catalogue entry are.

use std::fmt::Write as _;

use fast_qr::{ECL, Mode, QRBuilder};
use symbolon_credential::elc1::encode;
use symbolon_genesis::presets::catalogue;

use super::samples::Sample;
use crate::sim::dice::Dice;

/// The largest version that phones read at arm's length, with a margin: measured, not chosen.
pub const BUDGET: usize = 24;
/// Credentials measured of each entry.
const SAMPLES: usize = 64;
/// The seed of the samples.
const SEED: u64 = 1;

/// Longest text and largest code of one entry in one manner of showing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size {
    /// Characters of the ELC1 text.
    pub characters: usize,
    /// Version of the QR code.
    pub version: usize,
}

/// The sizes of one catalogue entry: the largest of [`SAMPLES`] credentials.
#[derive(Debug, Clone)]
pub struct Row {
    /// The type's code.
    pub code: String,
    /// The type's name.
    pub name: String,
    /// Claims shown by default, and all that there are (the identifier counted).
    pub claims: (usize, usize),
    /// Level A at error correction L: the default claims, and all.
    pub screen: [Size; 2],
    /// Level D at error correction M: the default claims, and all.
    pub paper: [Size; 2],
}

/// The version of the smallest code that holds `text`.
///
/// # Panics
///
/// When no code does.
#[must_use]
pub fn version(text: &str, correction: ECL) -> usize {
    let code = QRBuilder::new(text).ecl(correction).mode(Mode::Alphanumeric).build();
    (code.expect("it fits a QR code").size - 17) / 4
}

/// Measures every entry.
///
/// # Panics
///
/// When a sample cannot be carried.
#[must_use]
pub fn measure() -> Vec<Row> {
    let mut rows = Vec::new();
    for licence_type in catalogue() {
        let mut dice = Dice::new(SEED);
        let zero = Size { characters: 0, version: 0 };
        let (mut screen, mut paper) = ([zero; 2], [zero; 2]);
        let mut claims = 0;
        for _ in 0..SAMPLES {
            for (with_holder, correction, sizes) in
                [(true, ECL::L, &mut screen), (false, ECL::M, &mut paper)]
            {
                let sample = Sample::new(&licence_type, with_holder, &mut dice);
                claims = claims.max(sample.issued.text.matches('~').count() - 1);
                let shown = [sample.defaults(&mut dice), sample.everything(&mut dice)];
                for (size, presentation) in sizes.iter_mut().zip(shown) {
                    let text = encode(&presentation).expect("a sample can be carried");
                    let version = version(&text, correction);
                    *size = (*size).max(Size { characters: text.len(), version });
                }
            }
        }
        let open = licence_type.claims.len().max(claims) - claims;
        rows.push(Row {
            code: licence_type.code.to_string(),
            name: licence_type.name_zh.to_string(),
            claims: (licence_type.default_disclosure.len(), claims + open),
            screen,
            paper,
        });
    }
    rows
}

/// The rows as a table in Markdown.
///
/// # Panics
///
/// Never: writing to a string cannot fail.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let mut out = String::from(
        "| type | claims: default, all | A, default: characters, version (L) | A, all (L) | \
         D, default (M) | D, all (M) |\n|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let cell = |size: &Size| {
            let over = if size.version > BUDGET { " **over**" } else { "" };
            format!("{}, {}{over}", size.characters, size.version)
        };
        writeln!(
            out,
            "| {} `{}` | {}, {} | {} | {} | {} | {} |",
            row.name,
            row.code,
            row.claims.0,
            row.claims.1,
            cell(&row.screen[0]),
            cell(&row.screen[1]),
            cell(&row.paper[0]),
            cell(&row.paper[1]),
        )
        .expect("a string takes any text");
    }
    out
}
