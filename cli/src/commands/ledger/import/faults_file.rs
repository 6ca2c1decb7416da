//! The list of refused rows, `FILE.errors.csv`: row, column, code, hint.
//!
//! It is made anew by each import, and removed when nothing is left to mend. Nothing else is ever
//! removed or replaced: a name that holds something other than such a list is refused.

use std::{fs, path::Path};

use super::rows::Fault;
use crate::{files, output::Failure};

/// The first row of the list.
const HEADER: [&str; 4] = ["row", "column", "code", "hint"];

/// Writes `faults` to `path`, or removes an older list when there are none. `source` is the file
/// that is imported.
///
/// # Errors
///
/// When `path` holds something other than a list of refused rows, or cannot be written.
pub(super) fn write(path: &Path, source: &Path, faults: &[Fault]) -> Result<(), Failure> {
    let taken = |what: &str| {
        Err(Failure::usage(
            "errors_file_taken",
            format!("{} {what}", path.display()),
            "name another place for the list with --errors",
        ))
    };
    if path == source {
        return taken("is the file that is imported");
    }
    match (holds(path), faults.is_empty()) {
        (Holds::Something, _) => taken("is there already and is no list of refused rows"),
        (Holds::Nothing | Holds::Device, true) => Ok(()),
        (Holds::List, true) => files::remove(path),
        (_, false) => files::write(path, &list(faults)).map_err(|failure| Failure {
            hint: "name a place that you may write to with --errors".to_owned(),
            ..failure
        }),
    }
}

/// What stands at the list's name.
enum Holds {
    Nothing,
    List,
    /// A device or a pipe, such as `/dev/stdout`: written to, never removed.
    Device,
    Something,
}

fn holds(path: &Path) -> Holds {
    if fs::metadata(path).is_ok_and(|m| !m.is_file() && !m.is_dir()) {
        return Holds::Device;
    }
    match fs::symlink_metadata(path) {
        Err(_) => Holds::Nothing,
        Ok(m) if m.is_file() && files::begins_with(path, HEADER.join(",").as_bytes()) => {
            Holds::List
        }
        Ok(_) => Holds::Something,
    }
}

fn list(faults: &[Fault]) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut write = |fields: [&str; 4]| {
        writer.write_record(fields).expect("writing to a vector cannot fail");
    };
    write(HEADER);
    for fault in faults {
        let row = fault.row.to_string();
        write([&row, &harmless(&fault.column), &fault.code, &fault.hint]);
    }
    writer.into_inner().expect("writing to a vector cannot fail")
}

/// A name from the file must not run as a formula when the list is opened in a spreadsheet.
fn harmless(column: &str) -> String {
    let shown: String = column.chars().filter(|c| !c.is_control()).collect();
    if shown.starts_with(['=', '+', '-', '@']) { format!("'{shown}") } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(column: &str) -> Fault {
        Fault { row: 7, column: column.to_owned(), code: "c".to_owned(), hint: "h, h".to_owned() }
    }

    #[test]
    fn a_list_is_written_made_anew_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let (list, source) = (dir.path().join("a.csv.errors.csv"), dir.path().join("a.csv"));
        let text = || fs::read_to_string(&list).unwrap();
        write(&list, &source, &[]).unwrap();
        assert!(!list.exists());
        write(&list, &source, &[fault("姓名"), fault("=1+1")]).unwrap();
        assert_eq!(text(), "row,column,code,hint\n7,姓名,c,\"h, h\"\n7,'=1+1,c,\"h, h\"\n");
        write(&list, &source, &[fault("b")]).unwrap();
        assert_eq!(text(), "row,column,code,hint\n7,b,c,\"h, h\"\n");
        write(&list, &source, &[]).unwrap();
        assert!(!list.exists());
    }

    #[test]
    fn a_column_name_runs_nothing_in_a_spreadsheet() {
        assert_eq!(harmless("=cmd()"), "'=cmd()");
        assert_eq!(harmless("姓名\r\n"), "姓名");
    }

    #[test]
    fn nothing_but_such_a_list_is_removed_or_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("a.csv");
        let (other, link) = (dir.path().join("other"), dir.path().join("link"));
        fs::write(&source, "row,column,code,hint\n").unwrap();
        fs::write(&other, "somebody's").unwrap();
        std::os::unix::fs::symlink(&source, &link).unwrap();
        for path in [&source, &other, &link, &dir.path().to_path_buf()] {
            for faults in [&[][..], &[fault("b")]] {
                assert_eq!(write(path, &source, faults).unwrap_err().code, "errors_file_taken");
            }
        }
        assert_eq!(fs::read_to_string(&other).unwrap(), "somebody's");
        let device = Path::new("/dev/null");
        write(device, &source, &[]).unwrap();
        write(device, &source, &[fault("b")]).unwrap();
        assert!(!fs::metadata(device).unwrap().is_file());
    }
}
