//! `symbolon gov`: what the provinces decide together.
//!
//! Signed by a province's authority key. `propose`, `show` and `approve` print what would change, so
//! that nobody approves by number alone: how that is told is in `difference`, and what the ledger
//! would refuse in `rules`. With `--genesis` or `--trust` a proposal is held against its proof
//! (`proven`).

mod action;
mod difference;
mod proven;
mod report;
mod rules;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use symbolon_contracts::{
    RejectionCode,
    governance::{LONGEST_VOTE, SHORTEST_VOTE},
};
use symbolon_ledger::{
    governance::{Action, ProposalRecord},
    operation::Operation,
};

use self::{
    difference::Difference,
    proven::{Patience, Proposal},
};
use super::{
    shared::{committed_answer, plain},
    trusted::Believed,
};
use crate::{
    args::Context,
    client::{Node, text},
    output::{Answer, Failure, Outcome},
    signing::{self, Committed, Signer},
};

/// How many heights a proposal lives unless told otherwise: three hours of idle blocks.
const LIFE: u64 = 1_000;
/// What stands under a dry run: only what the registries show is looked up.
const UNCHECKED: &str = "not checked against all rules: propose may still refuse it";

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
    #[arg(long, global = true, value_name = "HEIGHTS", default_value_t = LIFE,
        value_parser = clap::value_parser!(u64).range(SHORTEST_VOTE..=LONGEST_VOTE))]
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
    #[command(flatten)]
    believed: Believed,
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
    #[command(flatten)]
    believed: Believed,
}

/// Runs the command.
pub(super) fn run(command: &GovCommand, context: &Context) -> Outcome {
    let node = Node::of(context)?;
    match command {
        GovCommand::Propose(args) => propose(args, context, &node),
        GovCommand::Approve(args) => vote(args, true, context, &node),
        GovCommand::Reject(args) => vote(args, false, context, &node),
        GovCommand::Show(args) => match args.proposal {
            Some(number) => show(number, &args.believed, &node),
            None if args.believed.is_given() => Err(one_at_a_time()),
            None => list(args.open, &node),
        },
        GovCommand::Report => report::run(context, &node),
    }
}

fn propose(args: &ProposeArgs, context: &Context, node: &Node) -> Outcome {
    let action = args.change.action(node)?;
    let broken = match args.dry_run {
        true => rules::broken(&action, node)?,
        false => rules::still_broken(&action, node)?,
    };
    if let Some(failure) = broken {
        return Err(failure);
    }
    let difference = difference::of(&action, node)?;
    let text = difference.text();
    let line = format!("action {} {}", action.digest(), action.name());
    if args.dry_run {
        let text = format!("{text}\n\n{line}\n{UNCHECKED}");
        let json = json!({ "action": named(&action), "difference": difference.json() });
        return Ok(Answer::new(text, json));
    }
    let signer = Signer::of_province(context, node)?;
    let expires_at_height = last_height(signing::tip(node)?.height, args.expires_in);
    let operation = Operation::Propose { action: Box::new(action.clone()), expires_at_height };
    let committed = signing::commit(node, &signer, vec![operation]).map_err(or_too_short)?;
    let proposal = find(node, &signer, &committed, &action)?;
    let number = proposal["number"].clone();
    let state = plain(crate::client::text(&proposal, "state"));
    let done = format!(
        "{text}\n\nproposal {number}, {state}, can be decided until height {expires_at_height}\n\
         {line}\n\
         the others approve it with `symbolon gov approve {number}`"
    );
    let extra = json!({
        "proposal": number,
        "action": named(&action),
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

/// An action for programs, as `approve` and `reject` sign it.
fn named(action: &Action) -> Value {
    json!({ "name": action.name(), "digest": action.digest().to_string() })
}

/// The last height of a proposal's life, which is counted from the block that it is in: that one
/// comes after the newest one, `tip`.
const fn last_height(tip: u64, life: u64) -> u64 {
    tip.saturating_add(1).saturating_add(life)
}

/// A refusal of the expiry in the words of this command line.
fn or_too_short(failure: Failure) -> Failure {
    if failure.code != RejectionCode::BadExpiryHeight.name() {
        return failure;
    }
    let hint = "blocks came in between: run it again, or give a few heights more by --expires-in";
    Failure { hint: hint.to_owned(), ..failure }
}

fn one_at_a_time() -> Failure {
    Failure::usage(
        "no_proposal_named",
        "only the proof of one proposal is checked",
        "name it: symbolon gov show NUMBER; the list is the node's word",
    )
}

/// What a proposal would change as things stand now, and whether that is still possible.
fn difference_of(proposal: &Proposal, node: &Node) -> Result<Difference, Failure> {
    let action = &proposal.record.action;
    let difference = difference::of(action, node)?;
    Ok(match rules::broken(action, node)? {
        Some(Failure { message, .. }) => {
            difference.with_note(format!("as things stand now, this breaks a rule: {message}"))
        }
        None => difference,
    })
}

fn vote(args: &Numbered, approves: bool, context: &Context, node: &Node) -> Outcome {
    let number = args.proposal;
    let signer = Signer::of_province(context, node)?;
    let province = signer.province()?;
    let proposal = proven::read(number, node, &args.believed, Patience::Block)?;
    if approves && text(&proposal.answer, "state") == "open" {
        let (action, by) = (proposal.record.action.name(), proposal.record.proposer);
        context.output.note(format!("proposal {number}, {action}, proposed by {by}"));
        context.output.note(difference_of(&proposal, node)?.text());
    }
    // What is signed names the action as it was read here, not the number alone.
    let action = proposal.record.action.digest();
    let operation = if approves {
        Operation::Approve { proposal: number, action }
    } else {
        Operation::Reject { proposal: number, action }
    };
    let committed = signing::commit(node, &signer, vec![operation])?;
    let answer = node.get(&format!("/v1/proposals/{number}"))?;
    let state = text(&answer, "state").to_owned();
    let word = if approves { "approves" } else { "rejects" };
    let done = format!(
        "province {province} {word} proposal {number}: {} ({})\naction {action} {}",
        plain(&state),
        progress(&answer),
        proposal.record.action.name()
    );
    let extra = json!({
        "proposal": number,
        "action": named(&proposal.record.action),
        "state": state,
        "approvals": answer["approvals"],
        "needed": answer["needed"],
    });
    Ok(committed_answer(&committed, &done, extra))
}

fn show(number: u32, believed: &Believed, node: &Node) -> Outcome {
    let proposal = proven::read(number, node, believed, Patience::None)?;
    let (mut answer, record) = (proposal.answer.clone(), &proposal.record);
    let mut lines = vec![
        format!("proposal {number}  {}", record.action.name()),
        format!("state      {}", state_of(&answer)),
        format!("proposed   by {} at height {}", record.proposer, record.proposed_at),
        format!("action     {}", record.action.digest()),
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
    lines.extend(proposal.proof.iter().map(|proof| format!("proof      {proof}")));
    lines.push(String::new());
    if text(&answer, "state") == "open" {
        let difference = difference_of(&proposal, node)?;
        lines.push(difference.text());
        answer["difference"] = difference.json();
    } else {
        lines.push(difference::own_fields(&record.action));
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

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::Cli;

    #[test]
    fn a_proposal_lives_as_long_as_the_help_says() {
        let check = |life: &str, taken: bool| {
            let line = ["symbolon", "gov", "propose", "remove-validator", "31", "--expires-in"];
            let read = Cli::try_parse_from(line.into_iter().chain([life]));
            assert_eq!(read.is_ok(), taken, "{life}");
        };
        check("9", false);
        check("10", true);
        check("100000", true);
        check("100001", false);
        assert_eq!(last_height(7, SHORTEST_VOTE), 8 + SHORTEST_VOTE, "the next block is 8");
    }
}
