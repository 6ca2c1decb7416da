//! `symbolon recognition`: which licences of other provinces a province accepts, and when.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use symbolon_ledger::{
    codes::{Day, ProvinceCode, TypeCode},
    operation::{Interval, Operation},
};

use super::{
    issue::parse_type,
    shared::{committed_answer, day, parse_day, parse_province},
};
use crate::{
    args::Context,
    client::{Node, escape, text},
    issuer::today,
    output::{Answer, Outcome},
    signing::{self, Signer},
};

/// Which licences of other provinces a province accepts
#[derive(Debug, Subcommand)]
pub(crate) enum RecognitionCommand {
    /// Recognise a type of another province's licences
    Recognise(RecogniseArgs),
    /// End a recognition, also for licences already issued
    Withdraw(WithdrawArgs),
    /// List recognitions
    List(ListArgs),
}

/// Whose licences.
#[derive(Debug, Args)]
pub(crate) struct Whose {
    /// The issuing province
    #[arg(long, value_name = "CODE", value_parser = parse_province)]
    from_province: ProvinceCode,
    /// The licence type
    #[arg(long = "type", value_name = "CODE", value_parser = parse_type)]
    licence_type: TypeCode,
}

/// A recognition.
#[derive(Debug, Args)]
pub(crate) struct RecogniseArgs {
    #[command(flatten)]
    whose: Whose,
    /// First day [default: today in Beijing]
    #[arg(long, value_name = "DATE", value_parser = parse_day)]
    from: Option<Day>,
    /// Last day [default: until withdrawn]
    #[arg(long, value_name = "DATE", value_parser = parse_day)]
    until: Option<Day>,
}

/// The end of a recognition.
#[derive(Debug, Args)]
pub(crate) struct WithdrawArgs {
    #[command(flatten)]
    whose: Whose,
    /// First day without recognition [default: today in Beijing]
    #[arg(long, value_name = "DATE", value_parser = parse_day)]
    effective: Option<Day>,
}

/// Which recognitions to list.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only those of one recognising province
    #[arg(long, value_name = "CODE", value_parser = parse_province)]
    recognising: Option<ProvinceCode>,
    /// Only those of one issuing province's licences
    #[arg(long, value_name = "CODE", value_parser = parse_province)]
    issuing: Option<ProvinceCode>,
    /// Only those of one type
    #[arg(long = "type", value_name = "CODE", value_parser = parse_type)]
    licence_type: Option<TypeCode>,
}

/// Runs the command.
pub(super) fn run(command: &RecognitionCommand, context: &Context) -> Outcome {
    let node = Node::of(context)?;
    let (whose, operation, verb) = match command {
        RecognitionCommand::List(args) => return list(args, &node),
        RecognitionCommand::Recognise(args) => {
            let interval = Interval { from: args.from.unwrap_or_else(this_day), until: args.until };
            let Whose { from_province, licence_type } = &args.whose;
            let operation = Operation::Recognise {
                from_province: *from_province,
                licence_type: licence_type.clone(),
                interval,
            };
            (&args.whose, operation, "recognises")
        }
        RecognitionCommand::Withdraw(args) => {
            let Whose { from_province, licence_type } = &args.whose;
            let operation = Operation::WithdrawRecognition {
                from_province: *from_province,
                licence_type: licence_type.clone(),
                effective: args.effective.unwrap_or_else(this_day),
            };
            (&args.whose, operation, "no longer recognises")
        }
    };
    let signer = Signer::of_province(context, &node)?;
    let province = signer.province()?;
    let committed = signing::commit(&node, &signer, vec![operation])?;
    let Whose { from_province, licence_type } = whose;
    let done = format!("province {province} {verb} {licence_type} of province {from_province}");
    let extra = json!({
        "recognising_province": province.to_string(),
        "issuing_province": from_province.to_string(),
        "licence_type": licence_type.to_string(),
    });
    Ok(committed_answer(&committed, &done, extra))
}

fn this_day() -> Day {
    day(today()).unwrap_or(Day(0))
}

fn list(args: &ListArgs, node: &Node) -> Outcome {
    let wanted = [
        ("recognising", args.recognising.map(|p| p.to_string())),
        ("issuing", args.issuing.map(|p| p.to_string())),
        ("type", args.licence_type.as_ref().map(|code| escape(code.as_str()))),
    ];
    let query: Vec<String> =
        wanted.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value?))).collect();
    let items = node.list(&format!("/v1/recognition?{}", query.join("&")))?;
    let line = |item: &Value| {
        let spans = item["intervals"].as_array().into_iter().flatten().map(|interval| {
            let until = interval["until"].as_str().unwrap_or("withdrawn");
            format!("{} until {until}", text(interval, "from"))
        });
        format!(
            "{} recognises {} of {}: {}",
            text(item, "recognising_province"),
            text(item, "licence_type"),
            text(item, "issuing_province"),
            spans.collect::<Vec<_>>().join(", ")
        )
    };
    let lines: Vec<String> = items.iter().map(line).collect();
    let text = if lines.is_empty() { "no recognitions".to_owned() } else { lines.join("\n") };
    Ok(Answer::new(text, json!({ "recognition": items })))
}
