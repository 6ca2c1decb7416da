//! The clock of this machine, asked in one place.

use std::time::SystemTime;

/// Milliseconds since 1970-01-01T00:00Z; 0 when the clock says that it is earlier.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
