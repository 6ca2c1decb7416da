//! Whether a node is ready, as the listener for its operator says, and how to make it so.

use std::borrow::Cow;

use serde_json::Value;
use symbolon_verify::display::escaped;
use ureq::Agent;

use super::{DoctorArgs, Finding, Health, MAX_ANSWER};
use crate::{
    args::{Context, origin},
    devnet_file::DevnetFile,
    files::in_command,
    output::Failure,
};

/// How the reason begins that names the missing validators (`readyz` of the node).
const NO_QUORUM: &str = "no quorum";
/// What is done about a node that misses the others: nothing.
const NOT_AT_FAULT: &str = "this node waits for others: start the nodes that are missing";
/// What an address is that has no `/readyz`, such as the node's public one.
const NO_LISTENER: &str = "what answers there is no operator's listener (404)";
/// Which setting names the listener.
const WHICH_LISTENER: &str = "it may be the node's public port: give what `listen` names under \
                              [admin] in its configuration";

/// A listener for whoever runs the node.
pub(super) struct Listener {
    /// Whose.
    of: String,
    pub(super) origin: String,
    /// What to do when it does not answer.
    silent: String,
    /// What to do when it is not ready.
    unready: &'static str,
}

/// The one of `--admin`; without `--node`, also those of `--devnet`.
///
/// # Errors
///
/// When `--admin` is no URL.
pub(super) fn listeners(
    args: &DoctorArgs,
    network: Option<&DevnetFile>,
    context: &Context,
) -> Result<Vec<Listener>, Failure> {
    let given = args.admin.as_deref().map(origin).transpose()?.map(|origin| Listener {
        of: format!("node {origin}"),
        origin,
        silent: "is it running, and is this its [admin] listener? It answers on its own machine \
                 only"
            .to_owned(),
        unready: "docs/operating/runbook.md says what to do, by the words of the reason",
    });
    let nodes = network.map_or(&[][..], |network| &network.nodes);
    let founded = nodes.iter().zip(1..).map(|(node, number)| Listener {
        of: format!("the node of {}", node.province),
        origin: node.admin.clone(),
        silent: start(number, context),
        unready: "wait for it to catch up, and look again",
    });
    Ok(given.into_iter().chain(founded).collect())
}

/// What starts the development network's node whose HTTP interface is at `origin`; none where it is
/// not one of them.
pub(super) fn start_of(
    origin: &str,
    network: Option<&DevnetFile>,
    context: &Context,
) -> Option<String> {
    let at = network?.nodes.iter().position(|node| node.http == origin)?;
    Some(start(at + 1, context))
}

fn start(number: usize, context: &Context) -> String {
    let folder = context.global.devnet.as_deref().map(in_command).unwrap_or_default();
    format!("start it: symbolon devnet start --dir {folder} --node {number}")
}

impl Listener {
    /// Asks whether the node is ready, and if not, why.
    pub(super) fn readiness(&self, agent: &Agent) -> Finding {
        let name = format!("readiness of {}", self.of);
        let answer = agent.get(format!("{}/readyz", self.origin)).call();
        let (health, found, hint): (_, _, Cow<'static, str>) = match answer {
            Ok(answer) if answer.status() == 200 => (Health::Good, "ready".into(), "".into()),
            Ok(answer) if answer.status() == 404 => {
                (Health::Bad, NO_LISTENER.into(), WHICH_LISTENER.into())
            }
            Ok(mut answer) => {
                let text = answer.body_mut().with_config().limit(MAX_ANSWER).read_to_string();
                let reasons = reasons(&text.unwrap_or_default());
                let waits = reasons.iter().any(|reason| reason.starts_with(NO_QUORUM));
                let hint = if waits { NOT_AT_FAULT } else { self.unready };
                (Health::Bad, unready(answer.status().as_u16(), &reasons), hint.into())
            }
            Err(e) => (Health::Bad, e.to_string(), self.silent.clone().into()),
        };
        Finding { name, health, found, hint }
    }
}

/// Why a node says that it is not ready.
fn reasons(answer: &str) -> Vec<String> {
    let answer: Value = serde_json::from_str(answer).unwrap_or_default();
    let reasons = answer["reasons"].as_array().map_or(&[][..], Vec::as_slice);
    reasons.iter().filter_map(Value::as_str).map(escaped).collect()
}

fn unready(status: u16, reasons: &[String]) -> String {
    match reasons {
        [] => format!("not ready ({status})"),
        _ => format!("not ready: {}", reasons.join("; ")),
    }
}

/// What everybody may see of it: that a node has stopped, or is behind.
pub(super) fn stopped(name: &str, status: &Value) -> Option<Finding> {
    let (health, found, hint) = if let Some(fault) = status["fault"].as_str() {
        let hint = "docs/operating/runbook.md says what to do, by the words of the reason";
        (Health::Bad, format!("it takes no part any more: {}", escaped(fault)), hint)
    } else if status["syncing"] == true {
        (Health::Doubtful, "it is behind the others".to_owned(), "wait for it to catch up")
    } else {
        return None;
    };
    Some(Finding { name: format!("part of {name}"), health, found, hint: hint.into() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_that_is_not_ready_says_why() {
        let check = |answer: &str, expected: &str| {
            assert_eq!(unready(503, &reasons(answer)), expected);
        };
        check(r#"{"reasons": ["a", "b\u001b"]}"#, "not ready: a; b\\u{1b}");
        check(r#"{"reasons": []}"#, "not ready (503)");
        check("<html>", "not ready (503)");
    }

    #[test]
    fn a_node_that_stopped_or_is_behind_is_told_from_its_status() {
        let check = |status: Value, expected: Option<Health>| {
            assert_eq!(stopped("n", &status).map(|f| f.health), expected, "{status}");
        };
        check(json!({"fault": "disk", "syncing": true}), Some(Health::Bad));
        check(json!({"fault": null, "syncing": true}), Some(Health::Doubtful));
        check(json!({"fault": null, "syncing": false}), None);
    }
}
