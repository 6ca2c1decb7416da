//! The first line of a verdict for people: the answer, and whether a valid licence is of any use
//! where it is shown.
//!
//! A person at a counter reads one line. So a licence that is valid and not recognised says both
//! in it. Recognition never changes the outcome, nor the exit status.

use serde_json::Value;

use crate::client::text;

/// The reason of a recognition that could not be said: the issuer, the type or the agreements are
/// not known.
const NOT_DETERMINED: &str = "not_determined";

/// The answer in one line.
pub(super) fn headline(verdict: &Value) -> String {
    let outcome = match text(verdict, "outcome") {
        "valid" => "VALID  有效",
        "invalid" => return "INVALID  无效".to_owned(),
        "unknown" => return "UNKNOWN  查无此证".to_owned(),
        _ => return "UNDETERMINED  暂时无法判定".to_owned(),
    };
    let recognised = &verdict["recognised"];
    match recognised["value"].as_bool() {
        _ if text(recognised, "reason") == NOT_DETERMINED => {
            format!("{outcome}, recognition not determined 是否承认未知")
        }
        Some(false) => {
            let (en, zh) = asking(&verdict["message"]);
            format!("{outcome}, NOT RECOGNISED in {en} {zh}不承认")
        }
        _ => outcome.to_owned(),
    }
}

/// What is wrong with the holder's signature, when that decides: the message is the same for a forgery
/// and for a presentation that was made for somebody else.
pub(super) fn binding_fault(verdict: &Value) -> Option<&str> {
    let checks = verdict["checks"].as_array()?;
    let check = checks.iter().find(|check| text(check, "name") == "holder_binding")?;
    (text(verdict, "reason") == "bad_holder_binding").then(|| text(check, "detail"))
}

/// The asking province, in English and Chinese: a verdict names it at the beginning of its message
/// and nowhere else (`docs/spec/verdict.md`).
fn asking(message: &Value) -> (&str, &str) {
    let en =
        text(message, "en").strip_prefix("Not recognised in ").and_then(|m| m.split_once(": "));
    let zh = text(message, "zh").split_once("不承认");
    (en.map_or("this province", |(name, _)| name), zh.map_or("本省", |(name, _)| name))
}

/// The line `recognised` further down.
pub(super) fn recognised(value: &Value) -> String {
    let reason = text(value, "reason").replace('_', " ");
    match value["value"].as_bool() {
        Some(true) => format!("yes ({reason})"),
        Some(false) if text(value, "reason") == NOT_DETERMINED => reason,
        Some(false) => format!("NO ({reason})"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_valid_licence_says_in_its_first_line_that_it_is_not_recognised() {
        let check = |outcome: &str, value: bool, reason: &str, first: &str, line: &str| {
            let verdict = json!({
                "outcome": outcome, "recognised": {"value": value, "reason": reason},
                "message": {"en": "Not recognised in Beijing: there is no agreement. The licence is valid.",
                    "zh": "北京市不承认该证照：没有互认协议。证照有效。"},
            });
            assert_eq!(headline(&verdict), first, "{outcome} {reason}");
            assert_eq!(recognised(&verdict["recognised"]), line, "{outcome} {reason}");
        };
        let no = "VALID  有效, NOT RECOGNISED in Beijing 北京市不承认";
        check("valid", false, "no_agreement", no, "NO (no agreement)");
        check("valid", false, "agreement_not_in_force", no, "NO (agreement not in force)");
        let unknown = "VALID  有效, recognition not determined 是否承认未知";
        check("valid", false, "not_determined", unknown, "not determined");
        check("valid", true, "national", "VALID  有效", "yes (national)");
        check("invalid", false, "no_agreement", "INVALID  无效", "NO (no agreement)");
        check("unknown", false, "not_determined", "UNKNOWN  查无此证", "not determined");
        check("undetermined", true, "agreement", "UNDETERMINED  暂时无法判定", "yes (agreement)");
    }

    #[test]
    fn without_a_name_it_is_this_province() {
        let verdict = json!({"outcome": "valid", "recognised": {"value": false, "reason": "x"}});
        assert_eq!(headline(&verdict), "VALID  有效, NOT RECOGNISED in this province 本省不承认");
    }
}
