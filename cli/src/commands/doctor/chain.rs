//! What goes wrong on the chain itself, so that several nodes may tell the same of it: rules that
//! this release does not know, and validators that signed against themselves.

use serde_json::Value;
use symbolon_contracts::feature;
use symbolon_verify::display::escaped;
use ureq::Agent;

use super::{Finding, Health, ask, doubt};

/// Findings that are told once, with the nodes that say so.
#[derive(Default)]
pub(super) struct Merged(Vec<(Finding, Vec<String>)>);

impl Merged {
    /// Adds what the node at `origin` says.
    pub(super) fn add(&mut self, origin: &str, findings: impl IntoIterator<Item = Finding>) {
        for finding in findings {
            let same = |(known, _): &&mut (Finding, _)| {
                (&known.name, &known.found) == (&finding.name, &finding.found)
            };
            match self.0.iter_mut().find(same) {
                Some((_, nodes)) => nodes.push(origin.to_owned()),
                None => self.0.push((finding, vec![origin.to_owned()])),
            }
        }
    }

    /// All of them.
    pub(super) fn into_findings(self) -> impl Iterator<Item = Finding> {
        self.0.into_iter().map(|(finding, nodes)| {
            let found = format!("{} (says {})", finding.found, nodes.join(", "));
            Finding { found, ..finding }
        })
    }
}

/// Features that are decided and unknown to the node or to this program.
pub(super) fn features(agent: &Agent, origin: &str) -> Vec<Finding> {
    match ask(agent, origin, "/v1/parameters") {
        Some(parameters) => unknown_features(&parameters),
        None => vec![unasked("features", "/v1/parameters")],
    }
}

fn unasked(name: &str, path: &str) -> Finding {
    let hint = "look again; is it a node of this version?";
    doubt(name, format!("not looked at: no answer at {path}"), hint)
}

fn unknown_features(parameters: &Value) -> Vec<Finding> {
    let decided = parameters["features"].as_array().map_or(&[][..], Vec::as_slice);
    let known = |number: u64| u32::try_from(number).is_ok_and(|n| feature::name(n).is_some());
    let of = |shown: &Value| {
        let number = shown["feature"].as_u64()?;
        let stops = shown["name"].is_null();
        (stops || !known(number)).then(|| Finding {
            name: format!("feature {number}"),
            health: Health::Bad,
            found: match stops {
                true => format!("unknown to the node: it stops at height {}", shown["from"]),
                false => format!("unknown to this program; it begins at height {}", shown["from"]),
            },
            hint: "bring every node, and this program, to a release that knows it before that \
                   height: docs/operating/membership.md"
                .into(),
        })
    };
    decided.iter().filter_map(of).collect()
}

/// Validators that signed against themselves, as the node knows.
pub(super) fn evidence(agent: &Agent, origin: &str) -> Vec<Finding> {
    match (ask(agent, origin, "/v1/evidence"), ask(agent, origin, "/v1/validators")) {
        (Some(evidence), Some(validators)) => guilty(&evidence, &validators),
        _ => vec![unasked("evidence", "/v1/evidence")],
    }
}

/// A key that was replaced since does no harm any more.
fn guilty(evidence: &Value, validators: &Value) -> Vec<Finding> {
    let items = |list: &Value| list["items"].as_array().cloned().unwrap_or_default();
    let voting = items(validators);
    let of = |shown: &Value| {
        let word = |name: &str| escaped(shown[name].as_str().unwrap_or("?"));
        let votes = voting.iter().any(|v| v["key"] == shown["key"]);
        let (health, now) = match votes {
            true => (Health::Bad, "and its key still votes"),
            false => (Health::Doubtful, "and its key votes no more"),
        };
        Finding {
            name: format!("evidence against province {}", word("province")),
            health,
            found: format!(
                "its validator signed two of a {} at height {}, {now}",
                word("step"),
                shown["height"]
            ),
            hint: "its key is in two places, or in wrong hands: docs/operating/runbook.md, \
                   \"Evidence is shown\"; symbolon gov report puts it on the chain"
                .into(),
        }
    };
    items(evidence).iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_feature_that_nobody_knows_is_a_problem() {
        let found = |features: Value| unknown_features(&json!({ "features": features }));
        let known = json!({"feature": 1, "name": "province_reversal", "from": 9});
        assert!(found(json!([known])).is_empty());
        let check = |feature: Value, expected: &str| {
            let found = found(json!([known, feature]));
            assert_eq!(found.len(), 1);
            assert_eq!((found[0].health, found[0].found.as_str()), (Health::Bad, expected));
        };
        let node_stops = "unknown to the node: it stops at height 12";
        check(json!({"feature": 9, "name": null, "from": 12}), node_stops);
        let newer_node = "unknown to this program; it begins at height 12";
        check(json!({"feature": 9, "name": "later", "from": 12}), newer_node);
    }

    #[test]
    fn evidence_names_the_province_and_whether_its_key_still_votes() {
        let shown = |key: &str| {
            let evidence = json!({"items": [
                {"province": "44", "key": key, "height": 7, "step": "prevote"},
            ]});
            let validators = json!({"items": [{"province": "44", "key": "a"}]});
            guilty(&evidence, &validators).remove(0)
        };
        let bad = shown("a");
        assert_eq!((bad.name.as_str(), bad.health), ("evidence against province 44", Health::Bad));
        let expected = "its validator signed two of a prevote at height 7, and its key still votes";
        assert_eq!(bad.found, expected);
        assert_eq!(shown("b").health, Health::Doubtful);
        assert!(guilty(&json!({"items": []}), &json!({"items": []})).is_empty());
    }

    #[test]
    fn what_several_nodes_say_is_told_once() {
        let finding = |found: &str| doubt("n", found.to_owned(), "h");
        let mut merged = Merged::default();
        merged.add("a", [finding("x"), finding("y")]);
        merged.add("b", [finding("x")]);
        let told: Vec<String> = merged.into_findings().map(|f| f.found).collect();
        assert_eq!(told, ["x (says a, b)", "y (says a)"]);
    }
}
