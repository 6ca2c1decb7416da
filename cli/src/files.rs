//! Files as this program reads and writes them: never more than a bound, never half.
//!
//! Whatever is written appears under its name only when all of it is on the disk, and is readable
//! by its owner only, whatever somebody may have put in its way: credentials and journals hold
//! personal data.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Read, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use nix::{errno::Errno, fcntl::OFlag};

use crate::output::{Failure, Status};

/// Mode of every file written here: personal data and secrets are the owner's alone.
const PRIVATE_FILE: u32 = 0o600;
/// Mode of every folder made here.
const PRIVATE_FOLDER: u32 = 0o700;
/// The name that stands for standard input.
pub(crate) const STDIN: &str = "-";

/// `path` as it stands in a command that is shown: in quotes where a shell would take it apart.
pub(crate) fn in_command(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+,:@%=".contains(c);
    match text.is_empty() || !text.chars().all(is_plain) {
        true => format!("'{}'", text.replace('\'', r"'\''")),
        false => text,
    }
}

/// The bytes of `path` (of standard input for `-`), at most `limit`.
///
/// # Errors
///
/// When it cannot be read, is empty, or is longer than `limit`; `what` names it in the message.
pub(crate) fn read(path: &Path, limit: u64, what: &str) -> Result<Vec<u8>, Failure> {
    let name = path.display();
    let refuse = |e: io::Error| {
        Failure::usage(
            "unreadable_file",
            format!("{what} {name} cannot be read: {e}"),
            "check the path, and that you may read the file",
        )
    };
    let mut bytes = Vec::new();
    if path == Path::new(STDIN) {
        io::stdin().lock().take(limit + 1).read_to_end(&mut bytes).map_err(refuse)?;
    } else {
        let file = File::open(path).map_err(refuse)?;
        if file.metadata().map_err(refuse)?.is_dir() {
            return Err(Failure::usage(
                "unreadable_file",
                format!("{what} {name} is a folder"),
                "name a file in it",
            ));
        }
        file.take(limit + 1).read_to_end(&mut bytes).map_err(refuse)?;
    }
    if bytes.is_empty() {
        return Err(Failure::usage(
            "empty_file",
            format!("{what} {name} is empty"),
            "check that it was written completely",
        ));
    }
    within(&bytes, limit, path, what)?;
    Ok(bytes)
}

/// Whether the file `path` can be read and begins with `start`.
pub(crate) fn begins_with(path: &Path, start: &[u8]) -> bool {
    let mut first = vec![0; start.len()];
    File::open(path).and_then(|mut f| f.read_exact(&mut first)).is_ok() && first == start
}

/// The text of `path`, as [`read`].
///
/// # Errors
///
/// As [`read`], and when it is not UTF-8.
pub(crate) fn read_text(path: &Path, limit: u64, what: &str) -> Result<String, Failure> {
    utf8(read(path, limit, what)?, path, what)
}

/// Refuses more than `limit` bytes of `path`.
///
/// # Errors
///
/// When there are more.
pub(crate) fn within(bytes: &[u8], limit: u64, path: &Path, what: &str) -> Result<(), Failure> {
    if bytes.len() as u64 <= limit {
        return Ok(());
    }
    Err(Failure::usage(
        "file_too_large",
        format!("{what} {} has more than the {limit} bytes that are read", path.display()),
        "check that it is the right file: no good one of its kind is as long",
    ))
}

/// The bytes of `path` as text.
///
/// # Errors
///
/// When they are not UTF-8.
pub(crate) fn utf8(bytes: Vec<u8>, path: &Path, what: &str) -> Result<String, Failure> {
    String::from_utf8(bytes).map_err(|e| {
        Failure::usage(
            "not_utf8",
            format!(
                "{what} {} is not UTF-8 text (byte {})",
                path.display(),
                e.utf8_error().valid_up_to()
            ),
            "save it as UTF-8; a picture or a spreadsheet is not read here",
        )
    })
}

/// Makes the folder `path`, with those above it, if it does not exist.
///
/// # Errors
///
/// When it cannot be made.
pub(crate) fn make_folder(path: &Path) -> Result<(), Failure> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(PRIVATE_FOLDER)))
        .map_err(|e| unwritable(path, &e))
}

/// Writes `bytes` to `path`, replacing what stood there: whole and durable, or not at all. A
/// device or a pipe is written to, and never replaced.
///
/// # Errors
///
/// When it cannot be written.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    if fs::metadata(path).is_ok_and(|m| !m.is_file() && !m.is_dir()) {
        let opened = OpenOptions::new().write(true).open(path);
        return opened.and_then(|mut f| f.write_all(bytes)).map_err(|e| unwritable(path, &e));
    }
    write_draft(path, bytes).map_err(|e| unwritable(path, &e))?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

/// Writes `bytes` to `path`, durable only after [`sync_filesystem`]: for many files at once, of
/// which a durable copy lies elsewhere until then.
///
/// # Errors
///
/// When it cannot be written.
pub(crate) fn write_soon(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let draft = suffixed(path, ".new");
    open_draft(&draft)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| fs::rename(&draft, path))
        .map_err(|e| unwritable(path, &e))
}

/// Makes everything written to the file system of `path` durable: one call for hundreds of small
/// files, where a call for each would take seconds.
///
/// # Errors
///
/// When the disk refuses.
pub(crate) fn sync_filesystem(path: &Path) -> Result<(), Failure> {
    let synced = File::open(path).and_then(|folder| Ok(nix::unistd::syncfs(&folder)?));
    synced.map_err(|e| unwritable(path, &e))
}

/// A new file at `draft`. What lies there is of a run that was cut off, or was put there by somebody
/// else: it goes, so that neither its mode counts nor is a link followed.
fn open_draft(draft: &Path) -> io::Result<File> {
    discard(draft)?;
    OpenOptions::new().write(true).create_new(true).mode(PRIVATE_FILE).open(draft)
}

fn write_draft(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = suffixed(path, ".new");
    let mut file = open_draft(&draft)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    fs::rename(&draft, path)
}

/// Makes the names in a folder durable.
fn sync_folder(path: &Path) -> Result<(), Failure> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path).and_then(|f| f.sync_all()).map_err(|e| unwritable(path, &e))
}

/// Removes `path`; that it was not there is no error.
///
/// # Errors
///
/// When it cannot be removed.
pub(crate) fn remove(path: &Path) -> Result<(), Failure> {
    discard(path).map_err(|e| unwritable(path, &e))
}

/// As [`remove`], with what the system says.
///
/// # Errors
///
/// When it cannot be removed.
pub(crate) fn discard(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Opens `path` for reading and appending; it is made if it does not exist. A link that somebody
/// put there is not followed, and an open mode does not stay.
///
/// # Errors
///
/// When it is a link, or cannot be opened.
pub(crate) fn open_log(path: &Path) -> Result<File, Failure> {
    let opened = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(PRIVATE_FILE)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(path)
        .and_then(|file| {
            file.set_permissions(Permissions::from_mode(PRIVATE_FILE))?;
            Ok(file)
        });
    opened.map_err(|e| match e.raw_os_error() {
        Some(code) if code == Errno::ELOOP as i32 => Failure::usage(
            "unwritable_file",
            format!("{} is a link, and links are not followed here", path.display()),
            "find out who put it there; then remove it",
        ),
        _ => unwritable(path, &e),
    })
}

/// An exclusive lock on the file `path`, held until the value is dropped.
///
/// # Errors
///
/// With `wait`, only when the file cannot be made; without, also when another process holds it.
pub(crate) fn lock(path: &Path, wait: bool) -> Result<File, Failure> {
    let file = open_log(path)?;
    let taken = if wait { file.lock() } else { file.try_lock().map_err(Into::into) };
    taken.map_err(|e| {
        Failure::refused(
            "locked",
            format!("{} is held by another process: {e}", path.display()),
            "wait until the other import or issue into this folder has ended",
        )
    })?;
    Ok(file)
}

/// `path` with `suffix` after its whole name: `a.csv` gives `a.csv.errors.csv`.
pub(crate) fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The failure of a file that cannot be written.
pub(crate) fn unwritable(path: &Path, error: &io::Error) -> Failure {
    use io::ErrorKind as Kind;
    // A place where nothing can be written is a wrong name; a full or broken disk is not.
    let status = match error.kind() {
        Kind::NotFound | Kind::NotADirectory | Kind::IsADirectory | Kind::PermissionDenied => {
            Status::Usage
        }
        _ => Status::Refused,
    };
    Failure::new(
        status,
        "unwritable_file",
        format!("{} cannot be written: {error}", path.display()),
        "choose a place that you may write to, on a disk that is not full",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_in_a_command_is_one_word_of_it() {
        for (path, expected) in [
            ("a/b-1.2_c", "a/b-1.2_c"),
            ("执照/广东", "执照/广东"),
            ("my net", "'my net'"),
            ("a'b", r"'a'\''b'"),
            ("$(x)", "'$(x)'"),
        ] {
            assert_eq!(in_command(Path::new(path)), expected);
        }
    }

    #[test]
    fn reading_is_bounded_and_says_what_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        let code = |limit| read(&path, limit, "the file").map_err(|f| f.code);
        assert_eq!(code(3), Err("unreadable_file".to_owned()));
        write(&path, b"").unwrap();
        assert_eq!(code(3), Err("empty_file".to_owned()));
        write(&path, b"abcd").unwrap();
        assert_eq!(code(3), Err("file_too_large".to_owned()));
        assert_eq!(code(4), Ok(b"abcd".to_vec()));
        assert_eq!(read(dir.path(), 4, "x").unwrap_err().code, "unreadable_file");
        write(&path, b"\xff").unwrap();
        assert_eq!(read_text(&path, 4, "the file").unwrap_err().code, "not_utf8");
    }

    #[test]
    fn what_is_written_is_the_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        write(&path, b"x").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, PRIVATE_FILE);
        assert!(!suffixed(&path, ".new").exists());
    }

    #[test]
    fn what_was_put_in_the_way_of_a_file_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        fs::write(&victim, b"precious").unwrap();
        type Write = fn(&Path, &[u8]) -> Result<(), Failure>;
        for (name, write) in [("now", write as Write), ("soon", write_soon as Write)] {
            let path = dir.path().join(name);
            let draft = suffixed(&path, ".new");
            let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;

            fs::write(&draft, b"prepared").unwrap();
            fs::set_permissions(&draft, Permissions::from_mode(0o666)).unwrap();
            write(&path, b"secret").unwrap();
            assert_eq!((fs::read(&path).unwrap(), mode()), (b"secret".to_vec(), PRIVATE_FILE));

            std::os::unix::fs::symlink(&victim, &draft).unwrap();
            write(&path, b"second").unwrap();
            assert_eq!((fs::read(&path).unwrap(), mode()), (b"second".to_vec(), PRIVATE_FILE));
            assert!(!fs::symlink_metadata(&path).unwrap().is_symlink(), "{name}");
            assert_eq!(fs::read(&victim).unwrap(), b"precious", "{name}");
            assert!(!draft.exists(), "{name}");
        }
    }

    #[test]
    fn a_log_does_not_follow_links_and_is_the_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (victim, path) = (dir.path().join("victim"), dir.path().join("log"));
        fs::write(&victim, b"precious").unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        let failure = open_log(&path).unwrap_err();
        assert!(failure.message.ends_with("is a link, and links are not followed here"));
        assert_eq!(lock(&path, true).unwrap_err().code, "unwritable_file");
        assert_eq!(fs::read(&victim).unwrap(), b"precious");

        fs::remove_file(&path).unwrap();
        fs::write(&path, b"prepared\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        open_log(&path).unwrap().write_all(b"more\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"prepared\nmore\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, PRIVATE_FILE);
    }

    #[test]
    fn a_lock_is_held_by_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = lock(&path, false).unwrap();
        assert_eq!(lock(&path, false).unwrap_err().code, "locked");
        drop(held);
        assert!(lock(&path, false).is_ok());
    }
}
