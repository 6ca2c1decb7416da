//! `symbolon gov`: what the provinces decide together.
//!
//! Signed by a province's authority key. `propose` and `show` print what would change, so that
//! nobody approves by number alone: how that is told is in `difference`.

mod action;
mod difference;
mod report;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use symbolon_ledger::{
    governance::{Action, ProposalRecord},
    operation::Operation,
};

use super::shared::{committed_answer, plain};
use crate::{
    args::Context,
    client::{Node, text},
    output::{Answer, Failure, Outcome},
    signing::{self, Committed, Signer},
};

/// How many heights a proposal lives unless told otherwise: three hours of idle blocks.
const LIFE: u64 = 1_000;

/// What the provinces decide together
#[derive(Debug, Subcommand)]
pub(crate) enum GovCommand {
    /// Propose a change; who proposes it and has a vote approves it
    Propose(Box<ProposeArgs>),
    /// Approve a proposal; with more than two thirds it takes effect
    Approve(Numbered),
    /// Reject a proposal
    Reject(Numbered),
    /// Show what a proposal would change and who is for it, or list the proposals
    Show(ShowArgs),
    /// Put on the chain which validators have signed against themselves, as the node knows it
    Report,
}

/// A change.
#[derive(Debug, Args)]
pub(crate) struct ProposeArgs {
    /// For how many heights it can be decided, 10 to 100,000
    #[arg(long, global = true, value_name = "HEIGHTS", default_value_t = LIFE)]
    expires_in: u64,
    /// Only print what would change
    #[arg(long, global = true)]
    dry_run: bool,
    #[command(subcommand)]
    change: action::Change,
}

/// A proposal by its number.
#[derive(Debug, Args)]
pub(crate) struct Numbered {
    /// Its number
    #[arg(value_name = "NUMBER")]
    proposal: u32,
}

/// One proposal, or all.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Its number; all of them when absent
    #[arg(value_name = "NUMBER")]
    proposal: Option<u32>,
    /// Only those that can still be decided
    #[arg(long, conflicts_with = "proposal")]
    open: bool,
}

/// Runs the command.
pub(super) fn run(command: &GovCommand, context: &Context) -> Outcome {
    let node = Node::of(context)?;
    match command {
        GovCommand::Propose(args) => propose(args, context, &node),
        GovCommand::Approve(Numbered { proposal }) => vote(*proposal, true, context, &node),
        GovCommand::Reject(Numbered { proposal }) => vote(*proposal, false, context, &node),
        GovCommand::Show(ShowArgs { proposal: Some(number), .. }) => show(*number, &node),
        GovCommand::Show(ShowArgs { proposal: None, open }) => list(*open, &node),
        GovCommand::Report => report::run(context, &node),
    }
}

fn propose(args: &ProposeArgs, context: &Context, node: &Node) -> Outcome {
    let action = args.change.action(node)?;
    let difference = difference::of(&action, node)?;
    let text = difference.text();
    if args.dry_run {
        return Ok(Answer::new(text, json!({ "difference": difference.json() })));
    }
    let signer = Signer::authority(context, node)?;
    signer.province()?;
    let expires_at_height = signing::tip(node)?.height.saturating_add(args.expires_in);
    let operation = Operation::Propose { action: Box::new(action.clone()), expires_at_height };
    let committed = signing::commit(node, &signer, vec![operation])?;
    let proposal = find(node, &signer, &committed, &action)?;
    let number = proposal["number"].clone();
    let state = plain(crate::client::text(&proposal, "state"));
    let done = format!(
        "{text}\n\nproposal {number}, {state}, can be decided until height {expires_at_height}\n\
         the others approve it with `symbolon gov approve {number}`"
    );
    let extra = json!({
        "proposal": number,
        "state": state,
        "expires_at_height": expires_at_height,
        "difference": difference.json(),
    });
    Ok(committed_answer(&committed, &done, extra))
}

/// The proposal that was just committed. Its number is the chain's to give.
fn find(
    node: &Node,
    signer: &Signer,
    committed: &Committed,
    action: &Action,
) -> Result<Value, Failure> {
    let proposer = signer.province()?.to_string();
    for proposal in node.list("/v1/proposals")?.into_iter().rev() {
        let ours = text(&proposal, "proposer") == proposer
            && proposal["proposed_at"].as_u64() == Some(committed.height);
        if ours && node.record::<ProposalRecord>(&proposal)?.action == *action {
            return Ok(proposal);
        }
    }
    Err(Failure::unreachable(
        "strange_answer",
        format!("{} does not list the proposal of height {}", node.url(), committed.height),
        "ask another node with `symbolon gov show`",
    ))
}

fn vote(proposal: u32, approves: bool, context: &Context, node: &Node) -> Outcome {
    let signer = Signer::authority(context, node)?;
    let province = signer.province()?;
    let operation =
        if approves { Operation::Approve { proposal } } else { Operation::Reject { proposal } };
    let committed = signing::commit(node, &signer, vec![operation])?;
    let answer = node.get(&format!("/v1/proposals/{proposal}"))?;
    let state = text(&answer, "state").to_owned();
    let word = if approves { "approves" } else { "rejects" };
    let done = format!(
        "province {province} {word} proposal {proposal}: {} ({})",
        plain(&state),
        progress(&answer)
    );
    let extra = json!({
        "proposal": proposal,
        "state": state,
        "approvals": answer["approvals"],
        "needed": answer["needed"],
    });
    Ok(committed_answer(&committed, &done, extra))
}

fn show(number: u32, node: &Node) -> Outcome {
    let mut answer = node.get(&format!("/v1/proposals/{number}"))?;
    let record: ProposalRecord = node.record(&answer)?;
    let open = text(&answer, "state") == "open";
    let mut lines = vec![
        format!("proposal {number}  {}", record.action.name()),
        format!("state      {}", state_of(&answer)),
        format!("proposed   by {} at height {}", record.proposer, record.proposed_at),
    ];
    let words = |approves: bool| {
        let said = record.votes.iter().filter(|vote| vote.approves == approves);
        said.map(|vote| vote.province.to_string()).collect::<Vec<_>>().join(" ")
    };
    let silent: Vec<&str> =
        answer["silent"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    lines.push(format!("approve    {} ({})", words(true), progress(&answer)));
    lines.push(format!("reject     {}", words(false)));
    lines.push(format!("silent     {}", plain(&silent.join(" "))));
    if open {
        let difference = difference::of(&record.action, node)?;
        lines.push(String::new());
        lines.push(difference.text());
        answer["difference"] = difference.json();
    }
    let lines: Vec<String> = lines.iter().map(|line| line.trim_end().to_owned()).collect();
    Ok(Answer::new(lines.join("\n"), answer))
}

/// How many approve, and while it is open, of how many that are needed: what was decided may have
/// changed how many decide.
fn progress(answer: &Value) -> String {
    match text(answer, "state") {
        "open" => format!("{} of {} needed", answer["approvals"], answer["needed"]),
        _ => answer["approvals"].to_string(),
    }
}

fn state_of(answer: &Value) -> String {
    match (text(answer, "state"), answer["decided_at"].as_u64()) {
        ("open", _) => format!("open until height {}", answer["expires_at_height"]),
        (state, Some(at)) => format!("{} at height {at}", plain(state)),
        (state, None) => plain(state),
    }
}

fn list(open: bool, node: &Node) -> Outcome {
    let path = if open { "/v1/proposals?open=true" } else { "/v1/proposals" };
    let proposals = node.list(path)?;
    let line = |proposal: &Value| {
        let action = &proposal["action"];
        let about = ["province", "feature"].map(|field| match &action[field] {
            Value::String(code) => plain(code),
            Value::Number(number) => number.to_string(),
            _ => String::new(),
        });
        let code = action["entry"]["code"].as_str().map(plain).unwrap_or_default();
        let line = format!(
            "{:<6} {:<10} {:<13} until {:<9} {} {}{code}",
            proposal["number"].to_string(),
            plain(text(proposal, "state")),
            progress(proposal),
            proposal["expires_at_height"].to_string(),
            plain(text(action, "name")),
            about.concat(),
        );
        line.trim_end().to_owned()
    };
    let lines: Vec<String> = proposals.iter().map(line).collect();
    let text = if lines.is_empty() { "no proposals".to_owned() } else { lines.join("\n") };
    Ok(Answer::new(text, json!({ "proposals": proposals })))
}
