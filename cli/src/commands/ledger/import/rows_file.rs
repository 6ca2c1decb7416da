//! The list of rows and their licences: which credential is of which row of the file.
//!
//! It names row and cid and nothing of what a row says, so that an agency can hand each credential
//! to its holder. One list lies in the journal, of the file that was imported last; importing a
//! file again writes its list again.

use symbolon_ledger::hash::Cid;

use crate::{files, journal::Journal, output::Failure};

/// Writes the list of `rows`: their numbers and the licences that were issued for them.
///
/// # Errors
///
/// When it cannot be written.
pub(super) fn write(
    journal: &Journal,
    rows: impl Iterator<Item = (usize, Cid)>,
) -> Result<(), Failure> {
    let mut text = "row,cid\n".to_owned();
    rows.for_each(|(row, cid)| text.push_str(&format!("{row},{cid}\n")));
    files::write(&journal.rows_path(), text.as_bytes())
}
