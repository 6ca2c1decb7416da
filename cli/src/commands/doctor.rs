//! `symbolon doctor`: looks for what commonly goes wrong, and says how to mend it.
//!
//! It asks the nodes of `--devnet` or the one of `--node`, and looks at this machine: clock, disk,
//! open files, the node's program. It changes nothing.

mod chain;
mod readiness;
mod validators;

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use jiff::{Timestamp, fmt::rfc2822::DateTimeParser};
use nix::sys::{
    resource::{Resource, getrlimit},
    statvfs::statvfs,
};
use serde_json::{Value, json};
use ureq::Agent;

use crate::{
    args::Context,
    client, clock,
    devnet_file::DevnetFile,
    output::{Answer, Failure, Outcome, Status},
};

/// How long a node may take to answer.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);
/// A clock that is further off makes fresh presentations look stale (they live for 60 s).
const CLOCK_TOLERANCE_MS: i64 = 5_000;
/// A header that is older says that the node does not follow the chain (the default staleness).
const STALE_MS: i64 = 60_000;
/// Less free disk than this, and a node may soon stop.
const ENOUGH_DISK_MIB: u64 = 2_048;
/// What a node may want open at once: its database's files, its callers and its peers. It takes as
/// many itself where the system permits them.
const ENOUGH_FILES: u64 = 4_096;
/// Nodes whose heights differ by more do not keep up.
const HEIGHTS_APART: u64 = 10;
/// Most bytes of an answer that are read.
const MAX_ANSWER: u64 = 1024 * 1024;

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Folder whose disk is looked at [default: that of --devnet, or this one]
    #[arg(long, value_name = "DIR")]
    disk: Option<PathBuf>,
    /// The operator's listener of --node's node, to ask it whether it is ready [with --devnet:
    /// those of all nodes]
    #[arg(long, value_name = "URL")]
    admin: Option<String>,
}

/// How one check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Good,
    /// It works, and may not for long.
    Doubtful,
    Bad,
}

impl Health {
    const fn word(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Doubtful => "warning",
            Self::Bad => "problem",
        }
    }
}

/// One check: what was looked at, what was found, and how to mend it.
#[derive(Debug, Clone)]
struct Finding {
    name: String,
    health: Health,
    found: String,
    hint: Cow<'static, str>,
}

/// What a node said of itself.
#[derive(Debug, Clone)]
struct Seen {
    origin: String,
    chain_id: String,
    height: u64,
}

/// Looks at everything.
///
/// # Errors
///
/// When `--devnet` names no network. What is found wrong is part of the answer, with status 1.
pub(crate) fn run(args: &DoctorArgs, context: &Context) -> Outcome {
    let network = context.network()?;
    let mut findings = machine(args, context);
    let nodes = origins(context, network.as_ref())?;
    if nodes.is_empty() {
        let found = "no node was named".to_owned();
        let hint = "give --node URL or --devnet DIR to look at nodes as well";
        findings.push(doubt("nodes", found, hint));
    }
    let listeners = readiness::listeners(args, network.as_ref(), context)?;
    let mut config = Agent::config_builder()
        .timeout_global(Some(ASK_TIMEOUT))
        .http_status_as_error(false)
        .max_redirects(0);
    let asked = nodes.iter().chain(listeners.iter().map(|listener| &listener.origin));
    if asked.into_iter().all(|origin| client::is_loopback(origin)) {
        config = config.proxy(None);
    }
    let agent = Agent::new_with_config(config.build());
    let mut of_chain = chain::Merged::default();
    let silent = |origin: &str| readiness::start_of(origin, network.as_ref(), context);
    let seen: Vec<Seen> = nodes
        .iter()
        .map(String::as_str)
        .filter_map(|o| look_at(&agent, (o, silent(o)), &mut findings, &mut of_chain))
        .collect();
    findings.extend(of_chain.into_findings());
    findings.extend(listeners.iter().map(|listener| listener.readiness(&agent)));
    if listeners.is_empty() && !nodes.is_empty() {
        let found = "not looked at, since no listener of its operator was named".to_owned();
        findings.push(doubt("readiness", found, "who runs the node names it: --admin URL"));
    }
    compare(&seen, network.as_ref(), &mut findings);
    Ok(report(&findings, nodes.len() > seen.len()))
}

fn origins(context: &Context, network: Option<&DevnetFile>) -> Result<Vec<String>, Failure> {
    match (&context.global.node, network) {
        (Some(_), _) => Ok(vec![context.node_url()?]),
        (None, Some(network)) => Ok(network.nodes.iter().map(|n| n.http.clone()).collect()),
        (None, None) => Ok(Vec::new()),
    }
}

/// Disk, open files and the node's program.
fn machine(args: &DoctorArgs, context: &Context) -> Vec<Finding> {
    let folder = args.disk.as_ref().or(context.global.devnet.as_ref());
    let mut findings = vec![disk(folder.map_or(Path::new("."), PathBuf::as_path)), open_files()];
    let beside = std::env::current_exe().ok().and_then(|p| Some(p.parent()?.join("symbolon-node")));
    let program = std::env::var_os("SYMBOLON_NODE").map(PathBuf::from).or(beside);
    let there = program.as_ref().is_some_and(|p| p.is_file());
    findings.push(Finding {
        name: "node program".into(),
        health: if there { Health::Good } else { Health::Doubtful },
        found: program.map_or_else(|| "unknown".into(), |p| p.display().to_string()),
        hint: "only who runs nodes needs it: build it (make build), or name it by SYMBOLON_NODE"
            .into(),
    });
    findings
}

fn disk(folder: &Path) -> Finding {
    let name = format!("disk of {}", folder.display());
    match statvfs(folder) {
        Ok(disk) => {
            let free = disk.blocks_available().saturating_mul(disk.fragment_size()) / 1024 / 1024;
            let health = if free >= ENOUGH_DISK_MIB { Health::Good } else { Health::Bad };
            let hint = "make room: a node stops rather than serve from a full disk".into();
            Finding { name, health, found: format!("{free} MiB free"), hint }
        }
        Err(e) => {
            let hint = "name a folder that is there and that you may read: --disk DIR".into();
            Finding { name, health: Health::Bad, found: e.to_string(), hint }
        }
    }
}

fn open_files() -> Finding {
    let (health, found) = match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((_, hard)) if hard >= ENOUGH_FILES => (Health::Good, format!("{hard} allowed")),
        Ok((_, hard)) => (Health::Bad, format!("{hard} allowed")),
        Err(e) => (Health::Bad, e.to_string()),
    };
    let hint = "raise the limit before nodes are started: ulimit -n 4096".into();
    Finding { name: "open files".into(), health, found, hint }
}

/// Asks one node for its status; compares its clock with this machine's. `start` is what starts it
/// where it does not answer, if that is known.
fn look_at(
    agent: &Agent,
    (origin, start): (&str, Option<String>),
    findings: &mut Vec<Finding>,
    of_chain: &mut chain::Merged,
) -> Option<Seen> {
    let name = format!("node {origin}");
    let asked = clock::now_ms();
    let answer = agent.get(format!("{origin}/v1/status")).call();
    let mut answer = match answer {
        Ok(answer) => answer,
        Err(e) => {
            let unknown =
                "is it running, and is the URL right? symbolon devnet up starts a network";
            let hint = start.map_or(Cow::Borrowed(unknown), Cow::Owned);
            findings.push(Finding { name, health: Health::Bad, found: e.to_string(), hint });
            return None;
        }
    };
    let answered = clock::now_ms();
    let date = answer.headers().get("date").and_then(|d| d.to_str().ok()).map(str::to_owned);
    let http = answer.status();
    let text = answer.body_mut().with_config().limit(MAX_ANSWER).read_to_string();
    let status: Option<Value> = text.ok().and_then(|text| serde_json::from_str(&text).ok());
    let field = |key: &str| status.as_ref().and_then(|s| s.get(key));
    let (Some(height), Some(chain_id)) =
        (field("height").and_then(Value::as_u64), field("chain_id").and_then(Value::as_str))
    else {
        let found = format!("it answers {http}, and not as a node of this kind does");
        let hint = "something else listens there; check the URL".into();
        findings.push(Finding { name, health: Health::Bad, found, hint });
        return None;
    };
    let seen = Seen { origin: origin.to_owned(), chain_id: chain_id.to_owned(), height };
    let took = answered.saturating_sub(asked);
    findings.push(Finding {
        name: name.clone(),
        health: Health::Good,
        found: format!("height {height}, answered after {took} ms"),
        hint: "".into(),
    });
    if let Some(status) = &status {
        findings.extend(readiness::stopped(&name, status));
        findings.extend(no_peer(&name, status));
        findings.extend(voting(&name, status));
        findings.extend(stall(&name, status));
        of_chain.add(origin, validators::missing(agent, origin, status));
        of_chain.add(origin, chain::features(agent, origin));
        of_chain.add(origin, chain::evidence(agent, origin));
    }
    let time = field("as_of").and_then(|a| a.get("time")).or_else(|| field("time"));
    if let Some(time) = time.and_then(Value::as_str).and_then(|t| t.parse::<Timestamp>().ok()) {
        findings.push(freshness(&name, answered, time));
    }
    if let Some(date) = date.and_then(|d| DateTimeParser::new().parse_timestamp(&d).ok()) {
        findings.push(offset(&name, asked, answered, date));
    }
    Some(seen)
}

/// The JSON that a node answers at `path`; none when it does not.
fn ask(agent: &Agent, origin: &str, path: &str) -> Option<Value> {
    let mut answer = agent.get(format!("{origin}{path}")).call().ok()?;
    let text = answer.body_mut().with_config().limit(MAX_ANSWER).read_to_string().ok()?;
    serde_json::from_str(&text).ok().filter(|_| answer.status() == 200)
}

/// What may not go well for long.
fn doubt(name: &str, found: String, hint: &'static str) -> Finding {
    Finding { name: name.to_owned(), health: Health::Doubtful, found, hint: hint.into() }
}

/// A node that nobody speaks with, though there are others.
fn no_peer(name: &str, status: &Value) -> Option<Finding> {
    let others = status["validators"].as_array().is_some_and(|others| !others.is_empty());
    let hint = "a node that was started less than a minute ago may still be connecting: look again. \
                Is its peer id in the others' network.observers (or is it a validator)? \
                `symbolon keys show` tells that of its network key";
    (others && status["peers"] == 0).then(|| Finding {
        name: format!("peers of {name}"),
        health: Health::Bad,
        found: "no peer".to_owned(),
        hint: hint.into(),
    })
}

/// Why a validator does not vote, when it does not.
fn voting(name: &str, status: &Value) -> Option<Finding> {
    let (found, hint) = match status["voting"].as_str()? {
        "below_mark" => (
            "no: it has signed for this height or a later one, and its log is gone",
            "wait: it votes from the next height on; when no block comes because of this, \
             docs/operating/recovery.md says what to do",
        ),
        "looks_on" => (
            "no: it does not know what its key has signed, and looks on",
            "wait: it votes after two whole heights that began after its start; when more than a \
             third look on, none comes, and docs/operating/recovery.md says what to do",
        ),
        "no_vote" => (
            "no: its key has no vote at this height",
            "it does not vote by itself: compare its validator_key (symbolon keys show FILE) with \
             /v1/validators; the provinces let it in or rotate to its key, \
             docs/operating/membership.md",
        ),
        _ => return None,
    };
    Some(doubt(&format!("vote of {name}"), found.to_owned(), hint))
}

/// Why no block is made, when too few validators answer.
fn stall(name: &str, status: &Value) -> Option<Finding> {
    let stall = status.get("stall").filter(|stall| stall.is_object())?;
    let missing = stall["missing"].as_array().map_or(&[][..], Vec::as_slice);
    let missing: Vec<String> = missing.iter().map(last_heard).collect();
    let found = format!(
        "none since {}: {} of {} validators answer at height {}; missing {}",
        stall["since"].as_str().unwrap_or("?"),
        stall["answering"],
        stall["quorum"],
        stall["height"],
        missing.join(", ")
    );
    let hint = "start the missing provinces' nodes, or mend the network to them; the chain goes on by itself".into();
    Some(Finding { name: format!("quorum at {name}"), health: Health::Bad, found, hint })
}

/// A validator, and where it was when it was heard last.
fn last_heard(validator: &Value) -> String {
    let province = validator["province"].as_str().unwrap_or("?");
    match (validator["last_height"].as_u64(), validator["last_round"].as_u64()) {
        (Some(height), Some(round)) => {
            format!("{province} (last heard at height {height}, round {round})")
        }
        _ => format!("{province} (not heard since that node was started)"),
    }
}

/// How old the newest block is.
fn freshness(name: &str, now_ms: u64, block: Timestamp) -> Finding {
    let age = i64::try_from(now_ms).unwrap_or(i64::MAX).saturating_sub(block.as_millisecond());
    let name = format!("newest block of {name}");
    if age < -CLOCK_TOLERANCE_MS {
        return Finding {
            name,
            health: Health::Bad,
            found: format!("from the future: {} s ahead of this machine's clock", -(age / 1000)),
            hint: "set this machine's clock, or the founding time of the chain was in the future"
                .into(),
        };
    }
    Finding {
        name,
        health: if age <= STALE_MS { Health::Good } else { Health::Bad },
        found: format!("{} s old", age.max(0) / 1000),
        hint: "the node is behind, or too few validators run: its verdicts are undetermined".into(),
    }
}

/// The node's clock against this machine's: `Date` has whole seconds, and lies between the
/// question and the answer if both clocks are right.
fn offset(name: &str, asked_ms: u64, answered_ms: u64, date: Timestamp) -> Finding {
    let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    let (asked, answered, date) = (signed(asked_ms), signed(answered_ms), date.as_millisecond());
    let off = if date + 999 < asked {
        date + 999 - asked
    } else if date > answered {
        date - answered
    } else {
        0
    };
    Finding {
        name: format!("clock of {name}"),
        health: if off.abs() <= CLOCK_TOLERANCE_MS { Health::Good } else { Health::Bad },
        found: format!("{} s off this machine's", off / 1000),
        hint: "set both clocks by NTP: blocks from the future are held, presentations look stale"
            .into(),
    }
}

/// Whether the nodes are of one chain, and near each other.
fn compare(seen: &[Seen], network: Option<&DevnetFile>, findings: &mut Vec<Finding>) {
    let Some(first) = seen.first() else { return };
    let expected = network.map_or(&first.chain_id, |network| &network.chain_id);
    let others: Vec<&str> =
        seen.iter().filter(|s| s.chain_id != *expected).map(|s| s.origin.as_str()).collect();
    findings.push(Finding {
        name: "chain id".into(),
        health: if others.is_empty() { Health::Good } else { Health::Bad },
        found: match others.is_empty() {
            true => expected.clone(),
            false => format!("of another chain: {}", others.join(" ")),
        },
        hint: "these nodes were founded with another document; compare `symbolon genesis show`"
            .into(),
    });
    let heights = seen.iter().map(|s| s.height);
    let (lowest, highest) = (heights.clone().min().unwrap_or(0), heights.max().unwrap_or(0));
    if seen.len() > 1 {
        let near = highest - lowest <= HEIGHTS_APART;
        findings.push(Finding {
            name: "heights".into(),
            health: if near { Health::Good } else { Health::Doubtful },
            found: format!("{lowest} to {highest}"),
            hint: "a node is catching up; look again in a minute".into(),
        });
    }
}

fn report(findings: &[Finding], unreachable: bool) -> Answer {
    let count = |health| findings.iter().filter(|f| f.health == health).count();
    let (bad, doubtful) = (count(Health::Bad), count(Health::Doubtful));
    let mut text = String::new();
    for f in findings {
        text.push_str(&format!("{:<8} {}: {}\n", f.health.word(), f.name, f.found));
        if f.health != Health::Good && !f.hint.is_empty() {
            text.push_str(&format!("         hint: {}\n", f.hint));
        }
    }
    let many = |count: usize| if count == 1 { "" } else { "s" };
    let (problems, warnings) = (many(bad), many(doubtful));
    text.push_str(&format!("\n{bad} problem{problems}, {doubtful} warning{warnings}"));
    let as_json = |f: &Finding| {
        let hint = if f.health == Health::Good { "" } else { &*f.hint };
        json!({"name": f.name, "result": f.health.word(), "found": f.found, "hint": hint})
    };
    let checks: Vec<Value> = findings.iter().map(as_json).collect();
    let json = json!({"problems": bad, "warnings": doubtful, "checks": checks});
    let status = match (unreachable, bad) {
        (true, _) => Status::Unreachable,
        (false, 0) => Status::Done,
        (false, _) => Status::Refused,
    };
    Answer::new(text, json).with_status(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_problem_is_no_problems() {
        let finding =
            |health| Finding { name: "n".into(), health, found: "f".into(), hint: "".into() };
        let (bad, doubtful) = (finding(Health::Bad), finding(Health::Doubtful));
        let check = |findings: &[Finding], expected: &str| {
            assert!(report(findings, false).text.ends_with(expected), "{expected}");
        };
        check(&[], "\n0 problems, 0 warnings");
        check(std::slice::from_ref(&bad), "\n1 problem, 0 warnings");
        check(&[bad.clone(), bad, doubtful], "\n2 problems, 1 warning");
    }

    #[test]
    fn a_clock_is_off_only_outside_of_the_question_and_its_answer() {
        let at = |ms: i64| Timestamp::from_millisecond(ms).expect("a small number");
        let check = |date: i64, expected: &str| {
            let finding = offset("n", 100_500, 101_200, at(date));
            assert!(finding.found.starts_with(expected), "{date}: {}", finding.found);
        };
        check(100_000, "0 s");
        check(101_000, "0 s");
        check(90_000, "-9 s");
        check(120_000, "18 s");
    }

    #[test]
    fn a_block_from_the_future_is_a_problem() {
        let at = |ms: i64| Timestamp::from_millisecond(ms).expect("a small number");
        let check = |block: i64, health: Health, found: &str| {
            let finding = freshness("n", 1_000_000, at(block));
            assert_eq!((finding.health, finding.found.as_str()), (health, found), "{block}");
        };
        check(1_000_000, Health::Good, "0 s old");
        check(1_004_000, Health::Good, "0 s old");
        check(1_367_918, Health::Bad, "from the future: 367 s ahead of this machine's clock");
        check(990_000, Health::Good, "10 s old");
        check(900_000, Health::Bad, "100 s old");
    }

    #[test]
    fn a_stall_names_the_missing_and_where_they_were() {
        let missing = json!([
            {"province": "44", "last_height": 7, "last_round": 0},
            {"province": "51", "last_height": null, "last_round": null},
        ]);
        let status = json!({"stall": {
            "since": "2026-11-23T08:00:00.000Z", "height": 8, "answering": 2, "quorum": 3,
            "missing": missing,
        }});
        let found = stall("n", &status).expect("a stall");
        assert_eq!(found.health, Health::Bad);
        let named =
            "44 (last heard at height 7, round 0), 51 (not heard since that node was started)";
        assert!(found.found.ends_with(named) && found.found.contains("2 of 3"), "{}", found.found);
        assert!(stall("n", &json!({"stall": null})).is_none());
        let silent = voting("n", &json!({"voting": "looks_on"})).expect("it does not vote");
        assert_eq!(silent.health, Health::Doubtful);
        assert!(voting("n", &json!({"voting": "votes"})).is_none());
    }

    #[test]
    fn each_way_not_to_vote_has_its_own_hint() {
        let check = |word: &str, hint: &str| {
            let found = voting("n", &json!({"voting": word})).expect("it does not vote");
            assert!(found.hint.starts_with(hint), "{word}: {}", found.hint);
        };
        check("below_mark", "wait: it votes from the next height on");
        check("looks_on", "wait: it votes after two whole heights");
        check("no_vote", "it does not vote by itself");
    }

    #[test]
    fn a_node_without_peers_is_a_problem_where_there_are_others() {
        let check = |peers: u64, others: Value, expected: bool| {
            let status = json!({"peers": peers, "validators": others});
            assert_eq!(no_peer("n", &status).is_some(), expected, "{status}");
        };
        check(0, json!([{"province": "44"}]), true);
        check(1, json!([{"province": "44"}]), false);
        check(0, json!([]), false);
    }

    #[test]
    fn a_disk_that_is_not_there_is_not_to_be_emptied() {
        let found = disk(Path::new("/no-such-folder"));
        assert_eq!(found.health, Health::Bad);
        assert!(found.hint.starts_with("name a folder"), "{}", found.hint);
    }

    #[test]
    fn nodes_of_two_chains_are_a_problem() {
        let seen = |chain_id: &str, height| Seen {
            origin: format!("http://{chain_id}"),
            chain_id: chain_id.into(),
            height,
        };
        let mut findings = Vec::new();
        compare(&[seen("a", 5), seen("b", 50)], None, &mut findings);
        let health: Vec<Health> = findings.iter().map(|f| f.health).collect();
        assert_eq!(health, [Health::Bad, Health::Doubtful]);
        assert!(findings[0].found.contains("http://b"));
    }
}
