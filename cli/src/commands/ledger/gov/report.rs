//! `symbolon gov report`: puts on the chain what a node knows of validators that signed against
//! themselves.
//!
//! The two messages prove it, whoever reports them, and the chain checks them again. Each pair goes
//! into a transaction of its own: one that another province has reported meanwhile spoils no other.

use serde_json::{Value, json};
use symbolon_ledger::{
    codes::ProvinceCode,
    keys::{SIGNATURE_LEN, Signature},
    operation::Operation,
    vote::SignedStatement,
};

use crate::{
    args::Context,
    client::{Node, from_base64url, text},
    output::{Answer, Failure, Outcome, Status},
    signing::{self, Signer},
};

/// The rejection of what is on the chain already.
const KNOWN: &str = "evidence_known";

/// One pair of messages that a node has shown.
struct Shown {
    operation: Operation,
    province: String,
    height: u64,
    step: String,
}

/// Reports all that the node keeps.
pub(super) fn run(context: &Context, node: &Node) -> Outcome {
    let answer = node.get("/v1/evidence")?;
    let items = answer["items"].as_array().map_or(&[][..], Vec::as_slice);
    let shown: Vec<Shown> = items.iter().map(|item| read(item, node)).collect::<Result<_, _>>()?;
    if shown.is_empty() {
        return Ok(Answer::new("no evidence is known to this node", json!({ "reported": [] })));
    }
    let signer = Signer::of_province(context, node)?;
    let (mut lines, mut reported, mut failed) = (Vec::new(), Vec::new(), false);
    for item in shown {
        let Shown { operation, province, height, step } = item;
        let (state, hint) = match signing::commit(node, &signer, vec![operation]) {
            Ok(committed) => (format!("reported at height {}", committed.height), String::new()),
            Err(failure) if failure.code == KNOWN => ("known".to_owned(), String::new()),
            Err(failure) if failure.status == Status::Unreachable => return Err(failure),
            Err(failure) => {
                failed = true;
                (format!("refused: {}", failure.message), format!("\n  hint: {}", failure.hint))
            }
        };
        lines.push(format!(
            "province {province}, two of a {step} at height {height}: {state}{hint}"
        ));
        reported.push(json!({
            "province": province, "height": height, "step": step, "result": state,
        }));
    }
    let status = if failed { Status::Refused } else { Status::Done };
    Ok(Answer::new(lines.join("\n"), json!({ "reported": reported })).with_status(status))
}

fn read(item: &Value, node: &Node) -> Result<Shown, Failure> {
    let shown = || {
        let province: ProvinceCode = text(item, "province").parse().ok()?;
        let (first, second) = (statement(&item["first"])?, statement(&item["second"])?);
        let said = first.read().ok()?;
        Some(Shown {
            operation: Operation::Evidence { province, first, second },
            province: province.to_string(),
            height: said.height,
            step: said.step.name().to_owned(),
        })
    };
    shown().ok_or_else(|| {
        Failure::unreachable(
            "strange_answer",
            format!("{} shows evidence that cannot be read", node.url()),
            "ask another node: --node URL",
        )
    })
}

fn statement(shown: &Value) -> Option<SignedStatement> {
    let statement = from_base64url(text(shown, "statement"))?;
    let signature: [u8; SIGNATURE_LEN] =
        from_base64url(text(shown, "signature"))?.try_into().ok()?;
    Some(SignedStatement { statement: statement.into(), signature: Signature(signature) })
}
