//! The validators of which a node has heard nothing lately, and how many more may fail before no
//! block is made any more.

use serde_json::Value;
use ureq::Agent;

use super::{Finding, Health, MAX_ANSWER};

/// What a node's status says of silent validators; nothing when it hears all of them.
pub(super) fn missing(
    agent: &Agent,
    origin: &str,
    name: &str,
    status: Option<&Value>,
) -> Option<Finding> {
    let silent = status?.get("validators_missing")?.as_array()?;
    let silent: Vec<&str> = silent.iter().filter_map(Value::as_str).collect();
    if silent.is_empty() {
        return None;
    }
    Some(finding(name, &silent, count(agent, origin)))
}

/// How many validators there are.
fn count(agent: &Agent, origin: &str) -> Option<usize> {
    let mut answer = agent.get(format!("{origin}/v1/validators")).call().ok()?;
    let text = answer.body_mut().with_config().limit(MAX_ANSWER).read_to_string().ok()?;
    let list: Value = serde_json::from_str(&text).ok()?;
    Some(list.get("items")?.as_array()?.len())
}

fn finding(name: &str, silent: &[&str], all: Option<usize>) -> Finding {
    // More than two thirds must vote, so a third less one may fail.
    let may_fail = all.map(|all| all.saturating_sub(1) / 3);
    let (health, then) = match may_fail.map(|may| may.checked_sub(silent.len())) {
        Some(Some(0)) => (Health::Doubtful, "; if one more fails, no block is made".to_owned()),
        Some(Some(more)) => (Health::Doubtful, format!("; {more} more may fail")),
        Some(None) => (Health::Bad, "; too few are left to make blocks".to_owned()),
        None => (Health::Doubtful, String::new()),
    };
    Finding {
        name: format!("validators as {name} hears them"),
        health,
        found: format!("nothing heard lately of {}{then}", silent.join(" ")),
        hint: "call the operators of these provinces: the node is down, cut off, or does not vote",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silent_validators_are_named_with_how_many_more_may_fail() {
        let check = |silent: &[&str], all: Option<usize>, health: Health, said: &str| {
            let found = finding("node x", silent, all);
            assert_eq!(found.health, health, "{silent:?} of {all:?}");
            assert!(found.found.ends_with(said), "{}", found.found);
        };
        check(&["31"], Some(4), Health::Doubtful, "of 31; if one more fails, no block is made");
        check(&["31", "44"], Some(4), Health::Bad, "of 31 44; too few are left to make blocks");
        check(&["31"], Some(32), Health::Doubtful, "of 31; 9 more may fail");
        check(&["31"], None, Health::Doubtful, "of 31");
    }
}
