//! Calendar dates of licences, and how they become the seconds of a JWT.
//!
//! A licence's dates are days in Beijing (UTC+8, one offset all year). The first day of validity
//! begins at its first second: `nbf` is that second. The last day is wholly valid: `exp` is the
//! first second *after* it, since RFC 7519 refuses a token from `exp` on. So 2026-11-22 as last
//! day gives `exp` = 2026-11-23T00:00:00+08:00. Nothing finer than a day is ever written.

use jiff::ToSpan as _;
pub use jiff::civil::Date;

use symbolon_ledger::codes::{BEIJING_OFFSET_MS, Month};

/// How an end date says that there is none.
pub const NO_EXPIRY: &str = "长期";

/// Earliest year accepted: older than any register of living holders or of companies.
pub const FIRST_YEAR: i16 = 1800;

/// Seconds by which Beijing is ahead of UTC.
const BEIJING_OFFSET: i64 = BEIJING_OFFSET_MS as i64 / 1_000;
const DAY: i64 = 86_400;
const EPOCH: Date = Date::constant(1970, 1, 1);

/// Reads `YYYY-MM-DD` and nothing else.
///
/// ```
/// use symbolon_credential::date::parse;
/// assert!(parse("2026-02-28").is_some());
/// assert!(parse("2026-02-29").is_none());
/// assert!(parse("2026/02/28").is_none());
/// ```
#[must_use]
pub fn parse(text: &str) -> Option<Date> {
    let bytes = text.as_bytes();
    let form = bytes.len() == 10
        && bytes.iter().enumerate().all(|(i, b)| match i {
            4 | 7 => *b == b'-',
            _ => b.is_ascii_digit(),
        });
    if !form {
        return None;
    }
    from_parts(text[0..4].parse().ok()?, text[5..7].parse().ok()?, text[8..10].parse().ok()?)
}

/// The date of these three numbers, if there is one from [`FIRST_YEAR`] on.
#[must_use]
pub fn from_parts(year: i16, month: i8, day: i8) -> Option<Date> {
    Date::new(year, month, day).ok().filter(|d| d.year() >= FIRST_YEAR)
}

/// The first second of `date` in Beijing, in seconds since 1970-01-01T00:00Z; negative before it.
#[must_use]
pub fn first_second(date: Date) -> i64 {
    date.duration_since(EPOCH).as_secs() - BEIJING_OFFSET
}

/// `nbf` of a licence whose first day is `date`. Days before 1970 give 0, which every verifier
/// reads as "long since valid"; negative NumericDates are not read alike everywhere.
#[must_use]
pub fn not_before(date: Date) -> u64 {
    u64::try_from(first_second(date)).unwrap_or(0)
}

/// `exp` of a licence whose last day is `date`.
#[must_use]
pub fn expires(date: Date) -> u64 {
    u64::try_from(first_second(date) + DAY).unwrap_or(0)
}

/// The day in Beijing on which the second `seconds` lies; the last representable one beyond it.
///
/// ```
/// use symbolon_credential::date::{day_of, expires, parse};
/// let last = parse("2026-11-22").unwrap();
/// assert_eq!(day_of(expires(last) - 1), last);
/// ```
#[must_use]
pub fn day_of(seconds: u64) -> Date {
    let local = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_add(BEIJING_OFFSET);
    EPOCH.checked_add((local / DAY).min(LAST_DAY_SINCE_EPOCH).days()).unwrap_or(Date::MAX)
}

/// 9999-12-31.
const LAST_DAY_SINCE_EPOCH: i64 = 2_932_896;

/// The month that the ledger records as a licence's expiry.
#[must_use]
pub fn month_of(date: Date) -> Month {
    let year = u32::try_from(date.year()).unwrap_or(0);
    let month = u32::try_from(date.month()).unwrap_or(1);
    Month(year * 12 + month - 1)
}

/// Whether `text` is a date in some other form in common use (2024/03/01, 20240301, 2024年3月1日),
/// so that an error can say which mistake was made.
#[must_use]
pub fn is_another_form(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() == 8 && bytes.iter().all(u8::is_ascii_digit) {
        let number = |r: std::ops::Range<usize>| text[r].parse::<i16>().ok();
        return three(number(0..4), number(4..6), number(6..8));
    }
    let groups: Vec<&str> =
        text.split(['-', '/', '.', '年', '月', '日']).filter(|g| !g.is_empty()).collect();
    let [year, month, day] = groups.as_slice() else { return false };
    let number = |g: &str| (g.len() <= 4).then(|| g.parse::<i16>().ok()).flatten();
    year.len() == 4 && three(number(year), number(month), number(day))
}

fn three(year: Option<i16>, month: Option<i16>, day: Option<i16>) -> bool {
    let small = |n: i16| i8::try_from(n).ok();
    match (year, month.and_then(small), day.and_then(small)) {
        (Some(y), Some(m), Some(d)) => from_parts(y, m, d).is_some(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_form_is_a_date() {
        for good in ["2024-02-29", "1999-12-31", "9999-12-31", "1800-01-01"] {
            assert_eq!(parse(good).unwrap().to_string(), good);
        }
        for bad in [
            "",
            "2023-02-29",
            "1988-02-30",
            "2024-13-01",
            "2024-00-10",
            "2024-1-1",
            "2024/03/01",
            "20240301",
            "2024-03-01 ",
            "+024-03-01",
            "２０２４-03-01",
            "0001-01-01",
            "长期",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn another_form_is_told_from_no_date() {
        for form in ["2024/03/01", "2024.3.1", "20240301", "2024年3月1日", "2024-3-1"] {
            assert!(is_another_form(form), "{form}");
        }
        for none in ["1988-02-30", "", "soon", "2024", "3/1/2024", "2024/02/30", "99999999", "//"] {
            assert!(!is_another_form(none), "{none}");
        }
    }

    #[test]
    fn days_begin_and_end_at_midnight_in_beijing() {
        let date = parse("2026-11-22").unwrap();
        assert_eq!(not_before(date), 1_795_276_800); // 2026-11-21T16:00:00Z
        assert_eq!(expires(date), 1_795_276_800 + 86_400);
        assert_eq!(day_of(not_before(date)), date);
        assert_eq!(day_of(not_before(date) - 1), date.yesterday().unwrap());
        assert_eq!(day_of(expires(date)), date.tomorrow().unwrap());
        assert_eq!(not_before(parse("1949-10-01").unwrap()), 0);
        assert_eq!(day_of(u64::MAX).to_string(), "9999-12-31");
        assert_eq!(month_of(date), Month(2026 * 12 + 10));
    }
}
