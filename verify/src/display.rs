//! Claims as people are shown them: masked as their class demands, and with every character that
//! does not show, or that moves others, written out.
//!
//! `value` in a verdict is what the issuer signed and is for programs; `display` is made here and
//! is for eyes. Neither is markup: a page that shows them writes text, never HTML. The rule is
//! `docs/spec/verdict.md`, section "Display".

use symbolon_credential::date;
use symbolon_ledger::{catalogue::ClaimType, codes::is_invisible};

/// What stands for a part that is left out. Its length says nothing about the part's.
pub const HIDDEN: &str = "***";
/// The lowest class of government data that is masked.
pub const FIRST_MASKED_LEVEL: u8 = 3;
/// The class of which a text is hidden whole.
pub const HIDDEN_LEVEL: u8 = 4;
/// Characters that begin a masked text at most: "广东省广州市".
const MAX_TEXT_HEAD: usize = 6;
/// Digits of a resident number that stand: its region, six, and its end, four. So it is printed
/// on receipts and tickets everywhere.
const RESIDENT_ID: (usize, usize) = (6, 4);
/// Characters of a credit code that stand.
const USCC: (usize, usize) = (4, 4);
/// Length of resident numbers and credit codes.
const NUMBER_LEN: usize = 18;

/// `text` with each control, invisible, bidirectional or private-use character written as
/// `\u{202e}`, so that what is read is what is there.
///
/// ```
/// use symbolon_verify::display::escaped;
/// assert_eq!(escaped("王\u{202e}五\u{200b}"), "王\\u{202e}五\\u{200b}");
/// assert_eq!(escaped("ئابلىز"), "ئابلىز");
/// ```
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_invisible(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// A claim's value as people are shown it. Classes 1 and 2 are shown whole, [`escaped`]; of
/// classes 3 and 4 only what tells documents apart stands.
///
/// ```
/// use symbolon_ledger::catalogue::ClaimType;
/// use symbolon_verify::display::display;
/// let number = display("440106198805120010", &ClaimType::ResidentId, 4);
/// assert_eq!(number, "440106********0010");
/// assert_eq!(display("1988-05-12", &ClaimType::Date, 3), "1988-**-**");
/// ```
#[must_use]
pub fn display(value: &str, form: &ClaimType, sensitivity: u8) -> String {
    if sensitivity < FIRST_MASKED_LEVEL {
        return escaped(value);
    }
    match form {
        ClaimType::ResidentId => ends(value, RESIDENT_ID),
        ClaimType::Uscc => ends(value, USCC),
        ClaimType::EndDate if value == date::NO_EXPIRY => value.to_owned(),
        ClaimType::Date | ClaimType::EndDate => year(value, sensitivity),
        // Of a short list, any part would tell the whole.
        ClaimType::Choice { .. } | ClaimType::Classes { .. } => HIDDEN.to_owned(),
        ClaimType::Text { .. } if sensitivity >= HIDDEN_LEVEL => HIDDEN.to_owned(),
        ClaimType::Text { .. } => beginning(value),
    }
}

/// A number's first and last characters. What has not the length of such a number is hidden.
fn ends(value: &str, (head, tail): (usize, usize)) -> String {
    let chars: Vec<char> = value.chars().collect();
    if chars.len() != NUMBER_LEN {
        return HIDDEN.to_owned();
    }
    let first: String = chars[..head].iter().collect();
    let last: String = chars[NUMBER_LEN - tail..].iter().collect();
    escaped(&format!("{first}{}{last}", "*".repeat(NUMBER_LEN - head - tail)))
}

fn year(value: &str, sensitivity: u8) -> String {
    match date::parse(value) {
        Some(day) if sensitivity < HIDDEN_LEVEL => format!("{:04}-**-**", day.year()),
        Some(_) => "****-**-**".to_owned(),
        None => HIDDEN.to_owned(),
    }
}

/// The first third of a text, at most [`MAX_TEXT_HEAD`] characters.
fn beginning(value: &str) -> String {
    let shown = (value.chars().count() / 3).min(MAX_TEXT_HEAD);
    let head: String = value.chars().take(shown).collect();
    format!("{}{HIDDEN}", escaped(&head))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_and_form_is_masked_by_its_rule() {
        let text = ClaimType::Text { max: 50 };
        let choice = ClaimType::Choice { of: vec!["男".parse().unwrap()] };
        let classes = ClaimType::Classes { of: vec!["C1".parse().unwrap()] };
        let address = "广东省广州市天河区体育西路一百零三号";
        for (value, form, sensitivity, expected) in [
            ("陆园琼", &text, 1, "陆园琼"),
            ("陆园琼", &text, 2, "陆园琼"),
            ("陆园琼", &text, 3, "陆***"),
            ("汉族", &text, 3, "***"),
            ("", &text, 3, "***"),
            (address, &text, 2, address),
            (address, &text, 3, "广东省广州市***"),
            (address, &text, 4, "***"),
            ("440007126037", &text, 3, "4400***"),
            ("440106198805120010", &ClaimType::ResidentId, 2, "440106198805120010"),
            ("440106198805120010", &ClaimType::ResidentId, 3, "440106********0010"),
            ("440106198805120010", &ClaimType::ResidentId, 4, "440106********0010"),
            ("4401061988", &ClaimType::ResidentId, 3, "***"),
            ("91449999G2HB5KX2MH", &ClaimType::Uscc, 1, "91449999G2HB5KX2MH"),
            ("91449999G2HB5KX2MH", &ClaimType::Uscc, 3, "9144**********X2MH"),
            ("1988-05-12", &ClaimType::Date, 3, "1988-**-**"),
            ("1988-05-12", &ClaimType::Date, 4, "****-**-**"),
            ("soon", &ClaimType::Date, 3, "***"),
            ("长期", &ClaimType::EndDate, 4, "长期"),
            ("2031-01-01", &ClaimType::EndDate, 3, "2031-**-**"),
            ("男", &choice, 2, "男"),
            ("男", &choice, 3, "***"),
            ("C1", &classes, 3, "***"),
        ] {
            assert_eq!(display(value, form, sensitivity), expected, "{value} {form:?}");
        }
    }

    #[test]
    fn nothing_that_moves_or_hides_characters_is_shown_as_it_is() {
        let text = ClaimType::Text { max: 50 };
        for (value, expected) in [
            ("a\u{1b}[31mb", "a\\u{1b}[31mb"),
            ("王\u{202e}五", "王\\u{202e}五"),
            ("\u{2066}王\u{2069}", "\\u{2066}王\\u{2069}"),
            ("王\u{200b}\u{feff}五", "王\\u{200b}\\u{feff}五"),
            ("a\r\nb\tc\u{0}", "a\\u{d}\\u{a}b\\u{9}c\\u{0}"),
            ("<b>&amp;", "<b>&amp;"),
        ] {
            assert_eq!(display(value, &text, 1), expected);
        }
        assert_eq!(display("\u{202e}abcdefgh", &text, 3), "\\u{202e}ab***");
        let number = "\u{202e}40106198805120010";
        assert_eq!(display(number, &ClaimType::ResidentId, 3), "\\u{202e}40106********0010");
    }
}
