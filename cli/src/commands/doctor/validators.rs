//! The validators of which a node has heard nothing lately, and how many more may fail before no
//! block is made any more.

use serde_json::Value;
use symbolon_ledger::validators::may_fail;
use ureq::Agent;

use super::{Finding, Health, ask, last_heard};

/// What a node's status says of silent validators; nothing when it hears all of them, or when it
/// names a stall, which says it already.
pub(super) fn missing(agent: &Agent, origin: &str, status: &Value) -> Option<Finding> {
    let silent = silent(status)?;
    let all = ask(agent, origin, "/v1/validators");
    let all = all.and_then(|list| Some(list.get("items")?.as_array()?.len()));
    Some(finding(&silent, all))
}

/// Who is silent, and where each was when it was heard last.
fn silent(status: &Value) -> Option<Vec<String>> {
    let missing = status.get("validators_missing")?.as_array()?;
    if missing.is_empty() || status["stall"].is_object() {
        return None;
    }
    let all = status["validators"].as_array().map_or(&[][..], Vec::as_slice);
    Some(all.iter().filter(|v| missing.contains(&v["province"])).map(last_heard).collect())
}

fn finding(silent: &[String], all: Option<usize>) -> Finding {
    let (health, then) = match all.map(may_fail).map(|may| may.checked_sub(silent.len())) {
        Some(Some(0)) => (Health::Doubtful, "; if one more fails, no block is made".to_owned()),
        Some(Some(more)) => (Health::Doubtful, format!("; {more} more may fail")),
        Some(None) => (Health::Bad, "; too few are left to make blocks".to_owned()),
        None => (Health::Doubtful, String::new()),
    };
    Finding {
        name: "silent validators".to_owned(),
        health,
        found: format!("nothing heard lately of {}{then}", silent.join(", ")),
        hint: "call the operators of these provinces: the node is down, cut off, or does not vote"
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn silent_validators_are_named_with_how_many_more_may_fail() {
        let check = |silent: &[&str], all: Option<usize>, health: Health, said: &str| {
            let silent: Vec<String> = silent.iter().map(ToString::to_string).collect();
            let found = finding(&silent, all);
            assert_eq!(found.health, health, "{silent:?} of {all:?}");
            assert!(found.found.ends_with(said), "{}", found.found);
        };
        check(&["31"], Some(4), Health::Doubtful, "of 31; if one more fails, no block is made");
        check(&["31", "44"], Some(4), Health::Bad, "of 31, 44; too few are left to make blocks");
        check(&["31"], Some(32), Health::Doubtful, "of 31; 9 more may fail");
        check(&["31"], None, Health::Doubtful, "of 31");
    }

    #[test]
    fn who_is_silent_is_said_once_and_where_it_was() {
        let status = |missing: Value, stall: Value| {
            json!({
                "validators_missing": missing,
                "validators": [
                    {"province": "31", "last_height": 8, "last_round": 2},
                    {"province": "44", "last_height": 7, "last_round": 0},
                    {"province": "51", "last_height": null, "last_round": null},
                ],
                "stall": stall,
            })
        };
        let named = silent(&status(json!(["44", "51"]), Value::Null)).expect("two are missing");
        let expected =
            ["44 (last heard at height 7, round 0)", "51 (not heard since that node was started)"];
        assert_eq!(named, expected);
        assert!(silent(&status(json!([]), Value::Null)).is_none());
        assert!(silent(&status(json!(["44"]), json!({"height": 8}))).is_none());
    }
}
