//! Raw DEFLATE over dictionary 1, bounded on the way in.
//!
//! The encoder's effort is no part of the format; any DEFLATE stream over the dictionary is read.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::{DICTIONARY, DecodeError, MAX_TEMPLATE_LEN};

/// Bytes by which DEFLATE can lengthen what it cannot shorten, and more: a stored block takes five
/// a 65,535.
const SLACK: usize = 64;

/// The stream of `json`; `None` if the library fails, which it does for no input.
pub(super) fn deflate(json: &[u8]) -> Option<Vec<u8>> {
    let mut compressor = Compress::new(Compression::best(), false);
    compressor.set_dictionary(DICTIONARY).ok()?;
    let mut stream = Vec::with_capacity(json.len() + SLACK);
    let status = compressor.compress_vec(json, &mut stream, FlushCompress::Finish).ok()?;
    (status == Status::StreamEnd).then_some(stream)
}

/// What `stream` gives, if that is at most [`MAX_TEMPLATE_LEN`]: inflating stops one byte beyond
/// it, so a bomb costs no more than a licence.
pub(super) fn inflate(stream: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let mut decompressor = Decompress::new(false);
    decompressor.set_dictionary(DICTIONARY).map_err(|_| DecodeError::Deflate)?;
    let mut json = vec![0; MAX_TEMPLATE_LEN + 1];
    let result = decompressor.decompress(stream, &mut json, FlushDecompress::Finish);
    let given = usize::try_from(decompressor.total_out()).unwrap_or(usize::MAX);
    if given > MAX_TEMPLATE_LEN {
        return Err(DecodeError::Inflated);
    }
    match result {
        Ok(Status::StreamEnd) => {}
        _ => return Err(DecodeError::Deflate),
    }
    let taken = usize::try_from(decompressor.total_in()).unwrap_or(usize::MAX);
    if taken != stream.len() {
        return Err(DecodeError::Trailing);
    }
    json.truncate(given);
    Ok(json)
}
