//! What lies here already of a snapshot that is being fetched, as far as it is sound: a start after a
//! crash goes on behind it. Fetching is [`super`]'s.

use std::{
    fs::File,
    io::{self, BufReader, Read as _},
    path::Path,
};

use crate::snapshot::{Checked, MAX_PART_BYTES};

/// A part that is a file of its own.
pub(super) fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_PART_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// How many chunks at the beginning of the file are what they must be, and their length together.
pub(super) fn sound(checked: &Checked, path: &Path) -> io::Result<(u64, u64)> {
    let mut file = match File::open(path) {
        Ok(file) => BufReader::new(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((0, 0)),
        Err(error) => return Err(error),
    };
    let mut length = 0;
    for chunk in 0..checked.chunks() {
        let mut bytes = vec![0; checked.chunk_bytes(chunk).unwrap_or(0)];
        if file.read_exact(&mut bytes).is_err() || checked.chunk(chunk, &bytes).is_err() {
            return Ok((chunk, length));
        }
        length += bytes.len() as u64;
    }
    Ok((checked.chunks(), length))
}
