//! `elc1 dictionary` writes dictionary 1 anew, `elc1 sizes` prints the table of
//! `docs/spec/elc1.md`: how the frozen file and the measured figures came about.

use std::io::Write as _;

use symbolon_credential::elc1::DICTIONARY;
use symbolon_tests::elc1::{dictionary::dictionary, sizes};

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    match std::env::args().nth(1).as_deref() {
        Some("dictionary") => out.write_all(&dictionary()),
        Some("sizes") => {
            let same = if dictionary() == DICTIONARY { "is" } else { "is not" };
            writeln!(out, "{}", sizes::table(&sizes::measure()))?;
            writeln!(out, "dictionary 1 {same} what today's catalogue gives")
        }
        _ => writeln!(out, "usage: elc1 dictionary | sizes"),
    }
}
