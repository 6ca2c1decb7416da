//! What several commands say or read in the same way.

use serde_json::{Value, json};
use symbolon_ledger::codes::{CodeError, Day, ProvinceCode, Uscc};

use symbolon_credential::date::{self, Date};

use crate::{output::Answer, signing::Committed};

/// The answer of a command whose transaction is in a block: `first` for people, `extra` beside the
/// transaction's id and height for programs.
pub(super) fn committed_answer(committed: &Committed, first: &str, extra: Value) -> Answer {
    let mut answer = json!({"transaction": committed.id.to_string(), "height": committed.height});
    if let (Value::Object(answer), Value::Object(extra)) = (&mut answer, extra) {
        answer.extend(extra);
    }
    let text = format!("{first}\ntransaction {} at height {}", committed.id, committed.height);
    Answer::new(text, answer)
}

/// Text from elsewhere as a terminal may be given it: what would move a cursor, reorder or hide is
/// written out.
pub(super) fn plain(text: &str) -> String {
    symbolon_verify::display::escaped(text)
}

/// Reads a unified social credit code.
pub(super) fn parse_uscc(text: &str) -> Result<Uscc, String> {
    text.parse().map_err(|e: CodeError| e.to_string())
}

/// Reads a province's code.
pub(super) fn parse_province(text: &str) -> Result<ProvinceCode, String> {
    text.parse().map_err(|e: CodeError| e.to_string())
}

/// Reads a day.
pub(super) fn parse_day(text: &str) -> Result<Day, String> {
    let date = date::parse(text).ok_or("give a day as YYYY-MM-DD, such as 2026-03-01")?;
    day(date).ok_or_else(|| "the ledger counts days from 1970-01-01 on".to_owned())
}

/// The ledger's number of a date in Beijing.
pub(super) fn day(date: Date) -> Option<Day> {
    let noon = date::first_second(date) + 12 * 3_600;
    u64::try_from(noon).ok().map(|seconds| Day::of_instant(seconds.saturating_mul(1_000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_count_from_1970_in_beijing() {
        assert_eq!(parse_day("1970-01-01"), Ok(Day(0)));
        assert_eq!(parse_day("1970-01-02"), Ok(Day(1)));
        assert_eq!(parse_day("9999-12-31"), Ok(symbolon_ledger::codes::LAST_DAY));
        assert!(parse_day("1969-12-31").is_err());
        assert!(parse_day("2026-02-29").is_err());
    }

    #[test]
    fn a_terminal_is_given_no_orders() {
        assert_eq!(plain("a\u{1b}[31mb\u{202e}"), "a\\u{1b}[31mb\\u{202e}");
    }
}
