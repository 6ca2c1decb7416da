//! `symbolon status-list get` and `status-list verify`: the signed lists that stock software reads,
//! and whether one tells the truth.
//!
//! Verifying asks a node to compute the list from its own ledger, at the height that the signed one
//! names, and compares every slot. Any node will do, and one of another province is better: it has
//! no reason to agree with a lie.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use symbolon_credential::status_list::{
    Bits, Checked, Expected, ListAddress, ListedStatus, MAX_TOKEN_LEN, MEDIA_TYPE, Parsed,
    StatusList,
};
use symbolon_ledger::{
    codes::ProvinceCode,
    operation::KeyPurpose,
    records::KeyRecord,
    status_page::{LISTS_PER_PROVINCE, SLOTS_PER_LIST, differences},
};
use symbolon_verify::instant;

use crate::{
    args::Context,
    client::{Node, text},
    clock, files,
    output::{Answer, Failure, Outcome, Status},
    targets::{self, Kind},
};

/// Differing slots that are shown to people; more help nobody.
const SLOTS_SHOWN: usize = 20;
/// Differing slots that are listed for programs.
const SLOTS_LISTED: usize = 1_000;

/// Status lists: the standing of a province's licences, signed for stock software
#[derive(Debug, Subcommand)]
pub(crate) enum StatusListCommand {
    /// Get a signed list from the node of its province
    Get(GetArgs),
    /// Hold a signed list against the ledger, slot by slot
    Verify(VerifyArgs),
}

/// Which list.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// The list: the uri of a credential's status, or province and number such as 44/0
    #[arg(value_name = "URI|PROVINCE/N", value_parser = parse_place)]
    list: Place,
    /// Where it is written
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// What to check.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The signed list
    file: PathBuf,
}

/// A list by its address, or by its province and number alone.
#[derive(Debug, Clone)]
struct Place {
    address: Option<ListAddress>,
    province: ProvinceCode,
    list: u32,
}

fn parse_place(text: &str) -> Result<Place, String> {
    if let Some(address) = ListAddress::parse(text) {
        let (province, list) = (address.province, address.list);
        return Ok(Place { address: Some(address), province, list });
    }
    let short = || {
        let (province, number) = text.split_once('/')?;
        let list: u32 = number.parse().ok().filter(|n| *n < LISTS_PER_PROVINCE)?;
        Some(Place { address: None, province: province.parse().ok()?, list })
    };
    short().ok_or_else(|| {
        "give the uri of a credential's status_list, or province and number such as 44/0".to_owned()
    })
}

/// Runs the command.
pub(super) fn run(command: &StatusListCommand, context: &Context) -> Outcome {
    match command {
        StatusListCommand::Get(args) => get(args, context),
        StatusListCommand::Verify(args) => verify(args, context),
    }
}

/// The node that signs the list. The names of a development network are reserved and lead nowhere:
/// its folder says where the province's node is.
fn signing_node(place: &Place, context: &Context) -> Result<Node, Failure> {
    if context.global.node.is_none()
        && let Some(network) = context.network()?
    {
        let node = network.nodes.iter().find(|n| n.province == place.province.as_str());
        return node.map(|n| Node::at(&n.http)).ok_or_else(|| {
            Failure::usage(
                "no_such_province",
                format!("this network has no province {}", place.province),
                "compare the list with `symbolon agency list`",
            )
        });
    }
    match &place.address {
        Some(address) if context.global.node.is_none() => Ok(Node::at(address.origin.as_str())),
        _ => Node::of(context),
    }
}

fn get(args: &GetArgs, context: &Context) -> Outcome {
    let Place { address, province, list } = &args.list;
    let node = signing_node(&args.list, context)?;
    let path = format!("/status-lists/{province}/{list}");
    let token = node.plain(&path, MEDIA_TYPE, MAX_TOKEN_LEN as u64)?;
    let parsed = read(&token, node.url())?;
    let found = parsed.claimed_address();
    let same = found.province == *province && found.list == *list;
    if !same || address.as_ref().is_some_and(|wanted| wanted != found) {
        return Err(Failure::refused(
            "other_list",
            format!("{} gave the list {}", node.url(), found.uri()),
            "name the node of the province whose list it is",
        ));
    }
    let ledger = parsed.claimed_ledger();
    let text = match &args.out {
        None => token.clone(),
        Some(path) => {
            refuse_older(path, &parsed)?;
            targets::write(path, token.as_bytes(), Kind::StatusList)?;
            format!(
                "{} of height {}, {} bytes, written to {}\n\
                 check it, best with the URL of another province's node: \
                 symbolon status-list verify {} --node {}",
                found.uri(),
                ledger.height,
                token.len(),
                path.display(),
                files::in_command(path),
                node.url()
            )
        }
    };
    let answer = json!({
        "uri": found.uri(),
        "height": ledger.height,
        "state_root": ledger.state_root.to_string(),
        "key_id": parsed.claimed_key_id(),
        "file": args.out,
        "token": token,
    });
    Ok(Answer::new(text, answer))
}

/// Refuses a list that is older than the one kept in `path`: whoever hands out an old list hides
/// what was revoked since.
fn refuse_older(path: &Path, newer: &Parsed) -> Result<(), Failure> {
    let Ok(kept) = files::read_text(path, MAX_TOKEN_LEN as u64 + 2, "the status list") else {
        return Ok(());
    };
    let Ok(kept) = Parsed::parse(kept.trim()) else { return Ok(()) };
    let (of, was) = (newer.claimed_ledger().height, kept.claimed_ledger().height);
    if kept.claimed_address() != newer.claimed_address() || was <= of {
        return Ok(());
    }
    Err(Failure::refused(
        "older_list",
        format!(
            "the node gave the list of height {of}, {} has the one of height {was}",
            path.display()
        ),
        "keep the newer one, and ask again when the node has caught up, or another node",
    ))
}

fn read(token: &str, from: &str) -> Result<Parsed, Failure> {
    Parsed::parse(token).map_err(|e| {
        Failure::refused(
            "bad_status_list",
            format!("{from} is no signed status list: {e}"),
            "get one with `symbolon status-list get`",
        )
    })
}

/// What was found of a list.
struct Findings {
    list: Checked,
    expired: bool,
    /// What is wrong beside the slots, one sentence each.
    faults: Vec<String>,
    /// Index, what the list says, what follows from the ledger.
    slots: Vec<(u32, u8, u8)>,
}

fn verify(args: &VerifyArgs, context: &Context) -> Outcome {
    let shown = args.file.display().to_string();
    let token = files::read_text(&args.file, MAX_TOKEN_LEN as u64 + 2, "the status list")?;
    let parsed = read(token.trim(), &shown)?;
    let node = Node::of(context)?;
    let (list, expired, key) = check(&parsed, &node)?;
    let address = list.address();
    let height = list.ledger().height;
    let path = format!("/v1/status-lists/{}/{}?height={height}", address.province, address.list);
    let computed = node.get(&path)?;
    let mut faults = Vec::new();
    if !key.is_valid_at(height) {
        faults.push(format!("its key {} was not valid at height {height}", list.key_id()));
    }
    if text(&computed, "state_root") != list.ledger().state_root.to_string() {
        faults.push("the state root that it names is not that of the block".to_owned());
    }
    if computed["time_ms"].as_u64().map(|ms| ms / 1_000) != Some(list.issued_at()) {
        faults.push("its iat is not the time of the block".to_owned());
    }
    let ledger = inflate(&computed, &node)?;
    let slots = if list.list().bits() == Bits::Two && list.list().entries() == ledger.entries() {
        differences(list.list().packed(), ledger.packed()).collect()
    } else {
        faults.push(format!(
            "it has {} entries of {} bits instead of {SLOTS_PER_LIST} of 2",
            list.list().entries(),
            list.list().bits().count()
        ));
        Vec::new()
    };
    Ok(answer(&Findings { list, expired, faults, slots }, &node))
}

/// Checks who signed the list by the node's registry of keys. One that has expired is compared all
/// the same: a lie stays one.
fn check(parsed: &Parsed, node: &Node) -> Result<(Checked, bool, KeyRecord), Failure> {
    let (address, key_id) = (parsed.claimed_address(), parsed.claimed_key_id());
    let province = node.get(&format!("/v1/provinces/{}", address.province))?;
    let refuse = |code: &str, message: String| {
        let hint = "the list is not of this chain, or nobody may sign it: rely on nothing in it";
        Failure::refused(code, message, hint)
    };
    if text(&province, "issuer_origin") != address.origin.as_str() {
        let what = format!("province {} has another origin", address.province);
        return Err(refuse("other_issuer", what));
    }
    let keys = province["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
    let key = keys.iter().find(|key| key["id"].as_u64() == Some(u64::from(key_id)));
    let key: Option<KeyRecord> = key.map(|key| node.record(key)).transpose()?;
    let key = key.filter(|key| key.purpose == KeyPurpose::Status).ok_or_else(|| {
        let what = format!("province {} has no status key {key_id}", address.province);
        refuse("unknown_key", what)
    })?;
    let check_at = |now_s| {
        let uri = address.uri();
        parsed.check(&Expected { uri: &uri, key_id, key: &key.key, now_s, seen: None })
    };
    let now_s = clock::now_ms() / 1_000;
    let at_its_time = check_at(parsed.claimed_issued_at());
    let list = at_its_time.map_err(|e| refuse("bad_status_list", e.to_string()))?;
    let expired = list.expires() <= now_s;
    if !expired {
        check_at(now_s).map_err(|e| refuse("bad_status_list", e.to_string()))?;
    }
    Ok((list, expired, key))
}

/// The list that a node computed.
fn inflate(computed: &Value, node: &Node) -> Result<StatusList, Failure> {
    let bits = computed["bits"].as_u64().and_then(Bits::of);
    let list = bits.and_then(|bits| StatusList::inflate(bits, text(computed, "lst")).ok());
    list.ok_or_else(|| {
        Failure::unreachable(
            "strange_answer",
            format!("{} gave no status list", node.url()),
            "check that --node names a symbolon node of this version",
        )
    })
}

fn answer(found: &Findings, node: &Node) -> Answer {
    let Findings { list, expired, faults, slots } = found;
    let honest = faults.is_empty() && slots.is_empty();
    let (uri, height) = (list.uri(), list.ledger().height);
    let mut lines = vec![match honest {
        true => format!("{uri} says what the ledger says at height {height}"),
        false => format!("{uri} does NOT say what the ledger says at height {height}"),
    }];
    lines.extend(faults.iter().cloned());
    if !slots.is_empty() {
        lines.push(format!("{} slots differ:", slots.len()));
    }
    let word = |value: &u8| ListedStatus::of(*value).name();
    for (index, listed, ledger) in slots.iter().take(SLOTS_SHOWN) {
        lines.push(format!(
            "  index {index}: {} listed, {} by the ledger",
            word(listed),
            word(ledger)
        ));
    }
    if slots.len() > SLOTS_SHOWN {
        lines.push("  and more; --json lists up to a thousand".to_owned());
    }
    if !honest {
        lines
            .push("keep the file: with state proofs it shows to anyone what was signed".to_owned());
    }
    let until = of_second(list.expires());
    let life = if *expired { "expired" } else { "in force until" };
    lines.push(format!(
        "issued {}, {life} {until}; compared by {}",
        of_second(list.issued_at()),
        node.url()
    ));
    let listed = slots.iter().take(SLOTS_LISTED).map(|(index, listed, ledger)| {
        json!({"index": index, "listed": word(listed), "ledger": word(ledger)})
    });
    let json = json!({
        "honest": honest,
        "uri": uri,
        "height": height,
        "state_root": list.ledger().state_root.to_string(),
        "issued_at": of_second(list.issued_at()),
        "expires": until,
        "expired": expired,
        "key_id": list.key_id(),
        "faults": faults,
        "differing": slots.len(),
        "slots": listed.collect::<Vec<Value>>(),
    });
    let status = if honest { Status::Done } else { Status::Refused };
    Answer::new(lines.join("\n"), json).with_status(status)
}

fn of_second(unix_s: u64) -> String {
    instant::text(unix_s.saturating_mul(1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_named_by_its_address_or_in_short() {
        let short = parse_place("44/3").unwrap();
        assert_eq!((short.province.as_str(), short.list), ("44", 3));
        assert!(short.address.is_none());
        let long = parse_place("https://guangdong.province.example/status-lists/44/3").unwrap();
        assert_eq!((long.province.as_str(), long.list), ("44", 3));
        assert!(long.address.is_some());
        for bad in ["44", "44/", "44/4096", "440/1", "https://a.example/44/3", ""] {
            assert!(parse_place(bad).is_err(), "{bad}");
        }
    }
}
