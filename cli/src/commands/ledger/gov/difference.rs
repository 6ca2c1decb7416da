//! What an action would change, as lines that a person reads before approving it.
//!
//! What stands now is asked of the node; what would stand is computed from the action's own record,
//! never from the node's words about it. A line that begins with `-` goes, one with `+` comes, any
//! other stays as it is.

use serde_json::{Value, json};
use symbolon_contracts::feature;
use symbolon_genesis::{catalogue, peer_id::PeerId};
use symbolon_ledger::{
    catalogue::LicenceTypeRecord,
    codes::ProvinceCode,
    governance::{Action, NewProvince},
    keys::PublicKey,
    operation::NewKey,
    records::{ParametersRecord, ValidatorsRecord},
    validators::{Validator, ValidatorSet, may_fail, quorum_of},
};

use super::super::shared::plain;
use crate::{
    client::{Node, NodeError, escape, text},
    output::Failure,
};

/// Things by their names, in the order in which they are shown.
type Facts = Vec<(String, String)>;

/// What changes.
#[derive(Debug)]
pub(super) struct Difference {
    /// Name, what stands now, what would stand.
    rows: Vec<(String, Option<String>, Option<String>)>,
    /// What follows from it.
    notes: Vec<String>,
}

impl Difference {
    fn between(before: &Facts, after: &Facts, notes: Vec<String>) -> Self {
        let value = |facts: &Facts, name: &str| {
            facts.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
        };
        let new = after.iter().filter(|(name, _)| value(before, name).is_none());
        let names: Vec<String> = before.iter().chain(new).map(|(name, _)| name.clone()).collect();
        let row = |name: String| {
            let (old, new) = (value(before, &name), value(after, &name));
            (name, old, new)
        };
        Self { rows: names.into_iter().map(row).collect(), notes }
    }

    /// The same with one note more.
    pub(super) fn with_note(mut self, note: String) -> Self {
        self.notes.push(note);
        self
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut lines = Vec::new();
        for (name, old, new) in &self.rows {
            if old == new {
                lines.extend(old.iter().map(|value| format!("  {name}  {value}")));
            } else {
                lines.extend(old.iter().map(|value| format!("- {name}  {value}")));
                lines.extend(new.iter().map(|value| format!("+ {name}  {value}")));
            }
        }
        lines.extend(self.notes.iter().map(|note| format!("note: {note}")));
        lines.iter().map(|line| plain(line)).collect::<Vec<_>>().join("\n")
    }

    /// For programs: what changes, and what follows from it.
    pub(super) fn json(&self) -> Value {
        let changed = self.rows.iter().filter(|(_, old, new)| old != new);
        let row = |(name, old, new): &(String, Option<String>, Option<String>)| json!({"name": name, "before": old, "after": new});
        json!({"changes": changed.map(row).collect::<Vec<_>>(), "notes": self.notes})
    }
}

/// What `action` would change at the node's newest block.
///
/// # Errors
///
/// When the node does not answer.
pub(super) fn of(action: &Action, node: &Node) -> Result<Difference, Failure> {
    match action {
        Action::AddProvince { province } => Ok(add_province(province)),
        Action::RemoveProvince { province } => remove_province(*province, node),
        Action::AddValidator { validator } | Action::RotateValidator { validator } => {
            set_validator(validator, node)
        }
        Action::RemoveValidator { province } => remove_validator(*province, node),
        Action::SetLicenceType { entry } => set_licence_type(entry, node),
        Action::RotateProvinceKey { province, key_id, key } => {
            rotate_province_key(*province, *key_id, key, node)
        }
        Action::SetParameters { idle_block_interval_ms, max_staleness_ms, bundle_max_age_ms } => {
            let now: ParametersRecord = node.record(&node.get("/v1/parameters")?)?;
            let (before, after) = (
                parameters(now.idle_block_interval_ms, now.max_staleness_ms, now.bundle_max_age_ms),
                parameters(*idle_block_interval_ms, *max_staleness_ms, *bundle_max_age_ms),
            );
            Ok(Difference::between(&before, &after, Vec::new()))
        }
        Action::ActivateFeature { feature, height } => Ok(activate_feature(*feature, *height)),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "what is shown is mostly made for it")]
fn fact(name: impl Into<String>, value: impl ToString) -> (String, String) {
    (name.into(), value.to_string())
}

fn add_province(new: &NewProvince) -> Difference {
    let note = "it has no vote until it has a validator; its origin can never be changed";
    Difference::between(&Vec::new(), &province_facts(new), vec![note.into()])
}

fn province_facts(new: &NewProvince) -> Facts {
    let mut facts = vec![
        fact(format!("province {}", new.code), format!("{} {}", new.name_zh, new.name_en)),
        fact("issuer origin", &new.issuer_origin),
        fact("key 0, transaction", new.authority_key),
    ];
    facts.extend(new.status_key.map(|key| fact("key 1, status", key)));
    facts
}

fn remove_province(code: ProvinceCode, node: &Node) -> Result<Difference, Failure> {
    let now = node.get(&format!("/v1/provinces/{code}"))?;
    let agencies = node.list(&format!("/v1/agencies?province={code}"))?.len();
    let set = validators(node)?;
    let name = format!("{} {}", text(&now, "name_zh"), text(&now, "name_en"));
    let mut before = vec![fact(format!("province {code}"), name)];
    before.extend(facts_of_set(&set));
    let left = without(&set, code);
    let mut notes = vec![
        format!("province {code} and its {agencies} agencies sign nothing any more, for good"),
        "what they issued stays as it is; each province decides what it still recognises".into(),
    ];
    if left.len() != set.validators().len() {
        notes.extend(quorums(&set, left.len()));
    }
    Ok(Difference::between(&before, &facts_of(&left), notes))
}

fn set_validator(validator: &Validator, node: &Node) -> Result<Difference, Failure> {
    let set = validators(node)?;
    let mut after = without(&set, validator.province);
    after.push(validator.clone());
    after.sort_by_key(|v| v.province);
    let mut notes = quorums(&set, after.len());
    notes.push(format!(
        "the node with this key and peer id must be up and have caught up: from the next block on, \
         province {} votes with it",
        validator.province
    ));
    Ok(Difference::between(&facts_of_set(&set), &facts_of(&after), notes))
}

fn remove_validator(code: ProvinceCode, node: &Node) -> Result<Difference, Failure> {
    let set = validators(node)?;
    let after = without(&set, code);
    let notes = quorums(&set, after.len());
    Ok(Difference::between(&facts_of_set(&set), &facts_of(&after), notes))
}

fn validators(node: &Node) -> Result<ValidatorSet, Failure> {
    let record: ValidatorsRecord = node.record(&node.get("/v1/validators")?)?;
    Ok(record.set)
}

fn without(set: &ValidatorSet, code: ProvinceCode) -> Vec<Validator> {
    set.validators().iter().filter(|v| v.province != code).cloned().collect()
}

fn facts_of_set(set: &ValidatorSet) -> Facts {
    facts_of(set.validators())
}

fn facts_of(validators: &[Validator]) -> Facts {
    let peer = |v: &Validator| {
        PeerId::from_bytes(&v.peer_id).map_or_else(|_| "none".to_owned(), |id| id.to_string())
    };
    let value = |v: &Validator| format!("key {}  peer {}", v.key, peer(v));
    validators.iter().map(|v| fact(format!("validator {}", v.province), value(v))).collect()
}

/// How many decide and how many may fail, before and after.
fn quorums(before: &ValidatorSet, after: usize) -> Vec<String> {
    let says = |count: usize| {
        let (quorum, may_fail) = (quorum_of(count), may_fail(count));
        format!("{count} validators, {quorum} decide, {may_fail} may fail")
    };
    vec![format!("{}; after it {}", says(before.validators().len()), says(after))]
}

fn set_licence_type(entry: &LicenceTypeRecord, node: &Node) -> Result<Difference, Failure> {
    let path = format!("/v1/licence-types/{}", escape(entry.code.as_str()));
    let before = match node.get(&path) {
        Ok(now) => catalogue::facts(&node.record::<LicenceTypeRecord>(&now)?),
        Err(NodeError::Problem(problem)) if problem.status == 404 => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let note = if before.is_empty() {
        "a new licence type; agencies may issue it once it is in their scope"
    } else {
        "licences that were issued stay as they are; new ones follow the new entry"
    };
    Ok(Difference::between(&before, &catalogue::facts(entry), vec![note.into()]))
}

fn rotate_province_key(
    code: ProvinceCode,
    key_id: u32,
    new: &NewKey,
    node: &Node,
) -> Result<Difference, Failure> {
    let now = node.get(&format!("/v1/provinces/{code}"))?;
    let keys = now["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut before = Vec::new();
    for key in keys.iter().filter(|key| key["valid"] == json!(true)) {
        let name = format!("key {}, {}", key["id"], text(key, "purpose"));
        before.push(fact(name, hex_of(text(key, "key"))));
    }
    let ended = format!("key {key_id}, ");
    let mut after: Facts =
        before.iter().filter(|(name, _)| !name.starts_with(&ended)).cloned().collect();
    after.push(fact(format!("key {}, transaction", now["next_key"]), with_end(new)));
    let note =
        format!("province {code} signs transactions with the new key from the next block on");
    Ok(Difference::between(&before, &after, vec![note]))
}

/// A raw public key as it is shown everywhere on the command line.
fn hex_of(base64url: &str) -> String {
    let key = crate::client::from_base64url(base64url);
    let key = key.and_then(|bytes| PublicKey::from_bytes(&bytes).ok());
    key.map_or_else(|| base64url.to_owned(), |key| key.to_string())
}

fn parameters(idle: u64, staleness: u64, bundle: u64) -> Facts {
    vec![
        fact("idle_block_interval_ms", idle),
        fact("max_staleness_ms", staleness),
        fact("bundle_max_age_ms", bundle),
    ]
}

fn activate_feature(feature: u32, height: u64) -> Difference {
    let note = match feature::name(feature) {
        Some(_) => {
            "a node whose version does not know the feature stops at that height: bring all \
                    of them to one that does first (docs/spec/governance.md lists the features)"
                .to_owned()
        }
        None => format!(
            "this release, {}, does not know the feature: ALL nodes of this release stop at height \
             {height}, for good, until each is brought to a release that knows it",
            env!("CARGO_PKG_VERSION")
        ),
    };
    Difference::between(&Vec::new(), &feature_facts(feature, height), vec![note])
}

fn feature_facts(feature: u32, height: u64) -> Facts {
    let name = feature::name(feature).map(|name| format!(" ({name})")).unwrap_or_default();
    vec![fact(format!("feature {feature}{name}"), format!("from height {height} on"))]
}

/// What an action says by itself, as lines: what it replaced is not known any more once it was
/// decided.
pub(super) fn own_fields(action: &Action) -> String {
    let facts = match action {
        Action::AddProvince { province } => province_facts(province),
        Action::RemoveProvince { province } => vec![fact("province", province)],
        Action::RemoveValidator { province } => vec![fact("validator of province", province)],
        Action::AddValidator { validator } | Action::RotateValidator { validator } => {
            facts_of(std::slice::from_ref(&**validator))
        }
        Action::SetLicenceType { entry } => catalogue::facts(entry),
        Action::RotateProvinceKey { province, key_id, key } => vec![
            fact("province", province),
            fact("key that ends", key_id),
            fact("key that takes its place", with_end(key)),
        ],
        Action::SetParameters { idle_block_interval_ms, max_staleness_ms, bundle_max_age_ms } => {
            parameters(*idle_block_interval_ms, *max_staleness_ms, *bundle_max_age_ms)
        }
        Action::ActivateFeature { feature, height } => feature_facts(*feature, *height),
    };
    let lines = facts.iter().map(|(name, value)| plain(&format!("  {name}  {value}")));
    lines.collect::<Vec<_>>().join("\n")
}

/// A key, and the last height at which it is valid, if it has an end.
fn with_end(new: &NewKey) -> String {
    let until = new.valid_until.map(|h| format!(", until height {h}")).unwrap_or_default();
    format!("{}{until}", new.key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_shows_what_goes_what_comes_and_what_stays() {
        let before = vec![fact("a", 1), fact("b", 2), fact("c", 3)];
        let after = vec![fact("d", 4), fact("a", 1), fact("b", 5)];
        let difference = Difference::between(&before, &after, vec!["a note".into()]);
        assert_eq!(difference.text(), "  a  1\n- b  2\n+ b  5\n- c  3\n+ d  4\nnote: a note");
        let changes = difference.json();
        assert_eq!(changes["changes"][0], json!({"name": "b", "before": "2", "after": "5"}));
        assert_eq!(changes["changes"][2], json!({"name": "d", "before": null, "after": "4"}));
        assert_eq!(changes["changes"].as_array().map(Vec::len), Some(3));
    }

    #[test]
    fn a_feature_that_this_release_does_not_know_is_said_to_stop_every_node() {
        let note = |feature| activate_feature(feature, 12).text();
        assert!(note(9).contains("ALL nodes of this release stop at height 12"), "{}", note(9));
        assert!(note(1).contains("feature 1 (province_reversal)"), "{}", note(1));
        assert!(!note(1).contains("ALL nodes"), "{}", note(1));
    }

    #[test]
    fn what_was_decided_is_told_by_the_actions_own_fields() {
        let check = |action: &Action, expected: &str| assert_eq!(own_fields(action), expected);
        let province = "31".parse().unwrap();
        check(&Action::RemoveValidator { province }, "  validator of province  31");
        check(
            &Action::SetParameters {
                idle_block_interval_ms: 400,
                max_staleness_ms: 60_000,
                bundle_max_age_ms: 7,
            },
            "  idle_block_interval_ms  400\n  max_staleness_ms  60000\n  bundle_max_age_ms  7",
        );
        check(
            &Action::ActivateFeature { feature: 77, height: 9 },
            "  feature 77  from height 9 on",
        );
    }

    #[test]
    fn orders_in_a_name_do_not_reach_the_terminal() {
        let after = vec![fact("a", "x\u{202e}y\u{1b}[2J")];
        let text = Difference::between(&Vec::new(), &after, Vec::new()).text();
        assert_eq!(text, "+ a  x\\u{202e}y\\u{1b}[2J");
    }
}
