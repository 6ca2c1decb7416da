//! Instants as people write and read them: RFC 3339 in UTC, days and minutes in Beijing.
//!
//! The chain and every check count milliseconds since 1970-01-01T00:00Z; this is how answers and
//! messages spell them. The day on which something happens is [`symbolon_credential::date`]'s.

use jiff::Timestamp;
use symbolon_credential::date;
use symbolon_ledger::codes::BEIJING_OFFSET_MS;

/// The instant `unix_ms` as RFC 3339 text in UTC; the last that there is beyond it.
///
/// ```
/// use symbolon_verify::instant::text;
/// assert_eq!(text(1_795_449_600_000), "2026-11-23T16:00:00Z");
/// ```
#[must_use]
pub fn text(unix_ms: u64) -> String {
    timestamp(unix_ms).to_string()
}

/// Reads an instant (RFC 3339), or a day (`YYYY-MM-DD`) as its first instant in Beijing; none when
/// it is neither, or lies before 1970.
///
/// ```
/// use symbolon_verify::instant::read;
/// assert_eq!(read("2026-11-24"), read("2026-11-23T16:00:00Z"));
/// ```
#[must_use]
pub fn read(text: &str) -> Option<u64> {
    let ms = match date::parse(text) {
        Some(day) => date::first_second(day).saturating_mul(1_000),
        None => text.parse::<Timestamp>().ok()?.as_millisecond(),
    };
    u64::try_from(ms).ok()
}

/// A time of day in Beijing, to the minute.
pub(crate) fn beijing(unix_ms: u64) -> String {
    timestamp(unix_ms.saturating_add(BEIJING_OFFSET_MS)).strftime("%Y-%m-%d %H:%M").to_string()
}

fn timestamp(unix_ms: u64) -> Timestamp {
    let ms = i64::try_from(unix_ms).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_read_as_it_is_written() {
        for (ms, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_795_449_600_000, "2026-11-23T16:00:00Z"),
            (1_795_449_600_123, "2026-11-23T16:00:00.123Z"),
        ] {
            assert_eq!(text(ms), expected);
            assert_eq!(read(expected), Some(ms));
        }
        assert_eq!(text(u64::MAX), Timestamp::MAX.to_string());
        assert_eq!(beijing(1_795_449_599_999), "2026-11-23 23:59");
        assert_eq!(beijing(1_795_449_600_000), "2026-11-24 00:00");
    }

    #[test]
    fn a_day_is_its_first_instant_in_beijing() {
        assert_eq!(read("2026-11-24"), Some(1_795_449_600_000));
        assert_eq!(read("2026-11-24T00:00:00+08:00"), Some(1_795_449_600_000));
        let wrong = ["", "now", "2026-02-30", "1969-12-31T00:00:00Z", "2026-11-23T16:00:00"];
        for text in wrong.into_iter().chain(["1969-12-31"]) {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
